from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from services.mesh.errors import InvalidArgument
from tests.integration.conftest import Shop
from tests.meshes import LiveMesh
from vitrine import Client
from vitrine.v1 import common_pb2, search_pb2, search_pb2_grpc

pytestmark = pytest.mark.integration

MAX_IMAGE_BYTES = 20 << 20
WORDS = search_pb2.QueryPart(text="red shoes")


@pytest.fixture(scope="module")
def stub(mesh: LiveMesh, drawn: Shop) -> Iterator[search_pb2_grpc.SearchServiceStub]:
    options = [("grpc.max_send_message_length", 64 << 20)]
    with grpc.insecure_channel(mesh.layout.gateway, options=options) as channel:
        yield search_pb2_grpc.SearchServiceStub(channel)


@pytest.fixture(scope="module")
def http(mesh: LiveMesh, drawn: Shop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mesh.layout.url, timeout=60) as client:
        yield client


def request(**fields: Any) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(**{"catalog": "catalogs/drawn", "parts": [WORDS], **fields})


def photo(content: bytes) -> list[search_pb2.QueryPart]:
    return [search_pb2.QueryPart(image=common_pb2.Image(content=content))]


def truncated_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(file, "PNG")
    return file.getvalue()[:5000]


def enormous_picture() -> bytes:
    """A small file of 225 million pixels."""
    file = io.BytesIO()
    Image.new("1", (15_000, 15_000)).save(file, "PNG")
    return file.getvalue()


def unknown_attribute() -> common_pb2.Filter:
    condition = common_pb2.Condition(attribute="shoe_lace", equals=common_pb2.AttributeValue(text="long"))
    return common_pb2.Filter(all_of=[common_pb2.Clause(any_of=[condition])])


@dataclass(frozen=True)
class Bad:
    """A request that is refused: what makes it, and the code and field of the refusal."""

    make: Callable[[], search_pb2.SearchRequest]
    field: str
    code: int = code_pb2.INVALID_ARGUMENT


BAD = {
    "no part": Bad(lambda: request(parts=[]), "parts"),
    "an empty part": Bad(lambda: request(parts=[search_pb2.QueryPart()]), "parts[0]"),
    "empty words": Bad(lambda: request(parts=[search_pb2.QueryPart(text="  ")]), "parts[0].text"),
    "too many words": Bad(lambda: request(parts=[search_pb2.QueryPart(text="x" * 1001)]), "parts[0].text"),
    "an empty picture": Bad(lambda: request(parts=photo(b"")), "parts[0].image.content"),
    "no picture": Bad(lambda: request(parts=photo(b"%PDF-1.7 not a picture")), "parts[0].image"),
    "half a picture": Bad(lambda: request(parts=photo(truncated_picture())), "parts[0].image"),
    "too many bytes": Bad(lambda: request(parts=photo(bytes(MAX_IMAGE_BYTES + 1))), "parts[0].image.content"),
    "too many pixels": Bad(lambda: request(parts=photo(enormous_picture())), "parts[0].image"),
    "an unknown filter attribute": Bad(
        lambda: request(filter=unknown_attribute()), "filter.all_of[0].any_of[0].attribute"
    ),
    "an unknown facet": Bad(lambda: request(facets=["type", "shoe_lace"]), "facets[1]"),
    "no hit wanted": Bad(lambda: request(k=0), "k"),
    "too many hits wanted": Bad(lambda: request(k=10_000), "k"),
    "an unknown profile": Bad(lambda: request(profile="astrology"), "profile"),
    "a made-up page token": Bad(lambda: request(page_token="bm90IG9uZSBvZiBvdXJz"), "page_token"),
    "a bad catalogue name": Bad(lambda: request(catalog="shops/drawn"), "catalog"),
    "an unknown catalogue": Bad(lambda: request(catalog="catalogs/nowhere"), "", code_pb2.NOT_FOUND),
    "an unknown product": Bad(
        lambda: request(parts=[search_pb2.QueryPart(product="nobody")]), "", code_pb2.NOT_FOUND
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_grpc_names_the_field(stub: search_pb2_grpc.SearchServiceStub, case: str) -> None:
    """Bad input over gRPC is refused with its code, and the details name the field."""
    bad = BAD[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Search(bad.make(), timeout=60)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # The error of a call is a call.
    assert status is not None
    assert status.code == bad.code, status.message
    violation, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    fields = [
        v.field for detail in status.details if detail.Unpack(violation) for v in violation.field_violations
    ]
    assert [name.startswith(bad.field) for name in fields] == [True] * (bad.code == code_pb2.INVALID_ARGUMENT)
    assert any(detail.Unpack(info) and info.domain == "vitrine" and info.reason for detail in status.details)


# The path names the catalogue over HTTP, so a name of another kind cannot be said there.
@pytest.mark.parametrize("case", [case for case in BAD if case != "a bad catalogue name"])
def test_http_answers_with_problem_details(http: httpx.Client, case: str) -> None:
    """The same over HTTP is a problem document with the same field."""
    bad = BAD[case]
    message = bad.make()
    body = MessageToDict(message, preserving_proto_field_name=True)
    catalog = body.pop("catalog").removeprefix("catalogs/")
    body.setdefault("parts", [])
    answer = http.post(f"/v1/catalogs/{catalog}:search", json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    expected = 404 if bad.code == code_pb2.NOT_FOUND else 400
    assert (answer.status_code, problem["status"]) == (expected, expected), problem
    assert problem.get("field", "").startswith(bad.field)
    assert problem["trace_id"] == answer.headers["trace-id"]


def test_a_token_of_another_request_is_refused(client: Client, http: httpx.Client) -> None:
    """A page token goes with its own request, not with other words, another k or another filter."""
    token = client.search(text="red shoes", k=5).next_page_token
    assert client.search(text="red shoes", k=5, page_token=token).hits
    for query in ({"text": "blue shoes", "k": 5}, {"text": "red shoes", "k": 6}):
        with pytest.raises(InvalidArgument, match="another request") as caught:
            client.search(**query, page_token=token)  # type: ignore[arg-type]  # A mixed mapping.
        assert caught.value.field == "page_token"
    body = {"parts": [{"text": "red shoes"}], "k": 7, "page_token": token}
    problem = http.post("/v1/catalogs/drawn:search", json=body).json()
    assert (problem["status"], problem["field"]) == (400, "page_token")


def test_a_search_over_http_is_the_same_as_over_grpc(http: httpx.Client, client: Client, drawn: Shop) -> None:
    """A photo as base64 and as a form's file give the hits that gRPC gives."""
    product, path = drawn.photos(3)[1]
    content = path.read_bytes()
    expected = [hit.product.id for hit in client.search(image=path, k=4).hits]
    part = {"image": {"content": base64.b64encode(content).decode()}}
    as_json = http.post("/v1/catalogs/drawn:search", json={"parts": [part], "k": 4})
    as_form = http.post("/v1/catalogs/drawn:search", files={"image": content}, data={"k": "4"})
    for answer in (as_json, as_form):
        assert answer.status_code == 200, answer.text
        names = [hit["product"]["name"].rpartition("/")[2] for hit in answer.json()["hits"]]
        assert names == expected
        assert names[0] == product
