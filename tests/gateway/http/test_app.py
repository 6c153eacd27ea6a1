from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from services.gateway.http import create_app, encoding, envelope
from services.gateway.http.envelope import Envelope
from services.mesh import deadline, errors, trace
from tests.gateway.http.conftest import Gateway
from tests.gateway.http.fakes import Flows, Gatekeeper, HttpSettings, Media, drawn
from tests.log_lines import captured
from vitrine.v1 import search_pb2

SEARCH = "/v1/catalogs/demo:search"
WORDS = {"parts": [{"text": "red shoes"}], "k": 3}
RED_WOMEN = {"all_of": [{"any_of": [{"attribute": "gender", "equals": {"text": "Women"}}]}]}


async def test_a_search_in_json(gateway: Gateway) -> None:
    """Words in JSON are searched in the catalogue of the path, and hits come back in order."""
    response = await gateway.client.post(SEARCH, json=WORDS)
    assert response.status_code == 200
    titles = [hit["product"]["title"] for hit in response.json()["hits"]]
    assert titles == ["Red shoes for men", "Red shoes for unisex", "Red shoes for women"]
    assert gateway.search.requests[0].catalog == "catalogs/demo"


async def test_a_photo_in_json(gateway: Gateway) -> None:
    """A photo in base64 arrives byte for byte."""
    photo = drawn("bag", "blue")
    body = {"parts": [{"image": {"content": base64.b64encode(photo).decode()}}]}
    assert (await gateway.client.post(SEARCH, json=body)).status_code == 200
    assert gateway.search.requests[0].parts[0].image.content == photo


async def test_a_photo_in_a_form_with_words_and_options(gateway: Gateway) -> None:
    """A form says all that JSON says: photo, words, filter and options."""
    photo = drawn("bag", "blue")
    fields = {
        "text": "blue",
        "k": "4",
        "explain": "true",
        "facets": ["gender", "colour"],
        "filter": json.dumps(RED_WOMEN),
        "group_by": json.dumps({"attribute": "brand", "size": 2}),
        "diversity": "0.25",
    }
    response = await gateway.client.post(
        SEARCH, data=fields, files={"image": ("bag.png", photo, "image/png")}
    )
    assert response.status_code == 200
    request = gateway.search.requests[0]
    assert sorted(part.WhichOneof("source") or "" for part in request.parts) == ["image", "text"]
    assert (request.k, request.explain, list(request.facets)) == (4, True, ["gender", "colour"])
    assert (request.group_by.attribute, request.group_by.size, request.diversity) == ("brand", 2, 0.25)
    assert len(response.json()["hits"]) == 4
    assert {value["value"]["text"] for value in response.json()["facets"][0]["values"]} == {"Women"}


@pytest.mark.parametrize(
    ("fields", "files", "field"),
    [
        ({"k": "0x"}, {}, "k"),
        ({"text": "a", "colour": "red"}, {}, "colour"),
        ({"filter": "{"}, {}, "filter"),
        ({"group_by": "brand"}, {}, "group_by"),
        ({"image": "not a file"}, {}, "image"),
        ({}, {"text": ("a.txt", b"red")}, "text"),
    ],
)
async def test_a_wrong_form_is_refused_with_its_field(
    gateway: Gateway, fields: dict[str, str], files: dict[str, Any], field: str
) -> None:
    """A form's mistakes are named like those of JSON."""
    padding = files or {"image": ("a.png", b"x")}
    response = await gateway.client.post(SEARCH, data=fields, files=padding)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_a_form_with_too_many_files_is_refused(gateway: Gateway) -> None:
    """A form has at most eight files."""
    files = [("image", (f"{i}.png", b"x")) for i in range(9)]
    response = await gateway.client.post(SEARCH, files=files)
    assert response.status_code == 400
    assert "8" in response.json()["detail"]


async def test_a_form_without_a_boundary_is_refused(gateway: Gateway) -> None:
    """A torn form is the caller's mistake, not ours."""
    response = await gateway.client.post(
        SEARCH, content=b"x", headers={"content-type": "multipart/form-data"}
    )
    assert response.status_code == 400


async def test_another_type_of_body_is_refused(gateway: Gateway) -> None:
    """A search is JSON, a form or a photo, and a write is JSON."""
    for path in (SEARCH, "/v1/catalogs"):
        response = await gateway.client.post(path, content=b"x", headers={"content-type": "text/plain"})
        assert (response.status_code, response.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_json_that_is_none_is_refused(gateway: Gateway) -> None:
    """Broken JSON is an invalid argument, for a search and for writes."""
    for path in (SEARCH, "/v1/catalogs"):
        headers = {"content-type": "application/json"}
        response = await gateway.client.post(path, content=b"{", headers=headers)
        assert (response.status_code, response.json()["reason"]) == (400, "INVALID_ARGUMENT")


async def test_the_domain_error_of_a_flow_is_a_problem(gateway: Gateway) -> None:
    """What a flow raises reaches the caller with its field, and its trace."""
    gateway.search.error = errors.InvalidArgument("k", "must be 1 to 100")
    response = await gateway.client.post(SEARCH, json=WORDS)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["field"], problem["detail"]) == ("k", "must be 1 to 100")
    assert problem["trace_id"] == response.headers["trace-id"]


async def test_an_unexpected_error_tells_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong inside is for our logs."""
    gateway.search.error = KeyError("secret")
    lines = captured(monkeypatch, envelope)
    response = await gateway.client.post(SEARCH, json=WORDS)
    assert lines[0]["event"] == "unexpected error"
    assert (response.status_code, response.json()["reason"]) == (500, "INTERNAL")
    assert "secret" not in response.text


async def test_pages_follow_each_other(gateway: Gateway) -> None:
    """The token of one page asks for the next."""
    first = (await gateway.client.post(SEARCH, json=WORDS)).json()
    second = (
        await gateway.client.post(SEARCH, json={**WORDS, "page_token": first["next_page_token"]})
    ).json()
    names = [hit["product"]["name"] for hit in first["hits"] + second["hits"]]
    assert len(set(names)) == 6


async def test_catalogues(gateway: Gateway) -> None:
    """Catalogues are created, read and listed."""
    created = await gateway.client.post("/v1/catalogs", json={"catalog_id": "new"})
    assert (created.status_code, created.json()["catalog"]["name"]) == (201, "catalogs/new")
    assert (await gateway.client.post("/v1/catalogs", json={"catalog_id": "demo"})).status_code == 409
    assert (await gateway.client.get("/v1/catalogs/demo")).json()["catalog"]["product_count"] == "60"
    assert (await gateway.client.get("/v1/catalogs/none")).status_code == 404
    listed = (await gateway.client.get("/v1/catalogs")).json()["catalogs"]
    assert [catalog["name"] for catalog in listed] == ["catalogs/demo", "catalogs/other", "catalogs/new"]


async def test_products_are_listed_read_and_deleted(gateway: Gateway) -> None:
    """Products are paged by id; a deleted one is not found any more."""
    path = "/v1/catalogs/demo/products"
    first = (await gateway.client.get(path, params={"page_size": 2})).json()
    second = (
        await gateway.client.get(path, params={"page_size": 2, "page_token": first["next_page_token"]})
    ).json()
    ids = [product["name"].split("/")[-1] for product in first["products"] + second["products"]]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4
    assert (await gateway.client.get(f"{path}/{ids[0]}")).json()["product"]["photos"][0]["width"] == 320
    assert (await gateway.client.delete(f"{path}/{ids[0]}")).json() == {"revision": "8"}
    assert (await gateway.client.get(f"{path}/{ids[0]}")).status_code == 404


async def test_products_are_written(gateway: Gateway) -> None:
    """A product with a photo and attributes arrives as its proto; a revision keeps every digit."""
    product = {
        "name": "catalogs/demo/products/x",
        "photos": [{"image": {"content": "AAE="}}],
        "attributes": {"price": {"values": [{"number": 9.5}]}, "sale": {"values": [{"flag": False}]}},
    }
    body = {"products": [{"product": product, "clear_photos": True}], "request_id": "r"}
    response = await gateway.client.post("/v1/catalogs/demo/products:batchUpsert", json=body)
    assert response.json()["revision"] == str(1 << 40)
    written = gateway.flows.catalog.written[0]
    assert (written.catalog, written.request_id, written.products[0].clear_photos) == (
        "catalogs/demo",
        "r",
        True,
    )
    sent = written.products[0].product
    assert sent.photos[0].image.content == b"\x00\x01"
    assert sent.attributes["price"].values[0].number == 9.5
    assert sent.attributes["sale"].values[0].WhichOneof("kind") == "flag"


async def test_a_product_that_was_read_can_be_written_back(gateway: Gateway) -> None:
    """What Get answers is a valid product of a write."""
    product = (await gateway.client.get("/v1/catalogs/demo/products/bag-red-men")).json()["product"]
    response = await gateway.client.post(
        "/v1/catalogs/demo/products:batchUpsert", json={"products": [{"product": product}]}
    )
    assert response.status_code == 200
    sent = encoding.document(gateway.flows.catalog.written[0].products[0].product)
    assert sent == product


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/catalogs/UPPER", "catalog"),
        ("GET", "/v1/catalogs/demo/products/a%20b", "product"),
        ("DELETE", "/v1/catalogs/demo/products/%21", "product"),
        ("GET", "/v1/catalogs/demo/products?page_size=many", "page_size"),
    ],
)
async def test_a_wrong_path_or_query_is_refused_with_its_field(
    gateway: Gateway, method: str, path: str, field: str
) -> None:
    """Ids and page sizes are named when they are wrong."""
    response = await gateway.client.request(method, path)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_unknown_paths_and_methods_are_problems(gateway: Gateway) -> None:
    """HTTP's own errors are problem details too."""
    missing = await gateway.client.get("/nothing")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NOT_FOUND")
    wrong = await gateway.client.put("/v1/catalogs")
    assert (wrong.status_code, wrong.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")


async def test_a_picture_may_be_kept_forever(gateway: Gateway) -> None:
    """A picture is served by its digest with its type and immutable."""
    content = drawn("dress", "green")
    response = await gateway.client.get(gateway.flows.media.put(content))
    assert response.content == content
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        "/media/../app.py",
        "/media/..%2fapp.py",
        "/media/%2e%2e/app.py",
        "/media//etc/passwd",
        "/..%2fapp.py",
        "/%2e%2e/app.py",
    ],
)
async def test_no_path_leads_out_of_a_directory(gateway: Gateway, path: str) -> None:
    """Neither pictures nor the page's files can be left by a path."""
    response = await gateway.client.get(path)
    assert response.status_code == 404


async def test_the_page_brings_everything_itself(gateway: Gateway) -> None:
    """The page has a strict policy, no inline script or style, and names no other host."""
    response = await gateway.client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"].split("; ")
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "img-src 'self' blob:",
        "manifest-src 'self'",
        "require-trusted-types-for 'script'",
    } <= set(policy)
    assert not [directive for directive in policy if "unsafe" in directive or "data:" in directive]
    for path in ("/", "/docs/"):
        text = (await gateway.client.get(path)).text
        assert "://" not in text
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text


async def test_the_page_may_use_the_camera_and_the_clipboard_alone(gateway: Gateway) -> None:
    """Of a device's powers the page has those that it uses, and no window of another site reaches it."""
    headers = (await gateway.client.get("/")).headers
    allowed = dict(rule.split("=") for rule in headers["permissions-policy"].split(", "))
    assert {name for name, origins in allowed.items() if origins == "(self)"} == {"camera", "clipboard-write"}
    assert {origins for name, origins in allowed.items() if name in {"geolocation", "microphone"}} == {"()"}
    assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_the_page_is_asked_after_each_time(gateway: Gateway) -> None:
    """The page's files are revalidated, and not sent again when they are the same."""
    first = await gateway.client.get("/favicon.svg")
    assert first.headers["cache-control"] == "no-cache"
    again = await gateway.client.get("/favicon.svg", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_probes_answer(gateway: Gateway) -> None:
    """The process is up, and ready."""
    assert (await gateway.client.get("/healthz")).text == "ok"
    assert (await gateway.client.get("/readyz")).text == "ready"


async def test_a_draining_process_is_up_but_not_ready(settings: HttpSettings, tmp_path: Path) -> None:
    """While requests in hand end, no new ones are welcome."""
    app = create_app(settings, Flows(Media(tmp_path)))
    app.state.ready = False
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vitrine") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_a_trace_is_taken_up_and_returned(gateway: Gateway) -> None:
    """The trace of the caller goes on; a caller without one gets a new one."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    assert (await gateway.client.get("/healthz", headers=headers)).headers["trace-id"] == trace_id
    fresh = (await gateway.client.get("/healthz")).headers["trace-id"]
    assert len(fresh) == 32
    assert fresh != trace_id


async def test_a_body_that_says_it_is_too_large_is_not_read(gateway: Gateway, settings: HttpSettings) -> None:
    """The length alone refuses a body."""
    content = b"x" * (settings.max_message_bytes + 1)
    response = await gateway.client.post(
        SEARCH, content=content, headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["reason"]) == (413, "CONTENT_TOO_LARGE")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (SEARCH, "application/json"),
        (SEARCH, "multipart/form-data; boundary=x"),
        (SEARCH, "image/jpeg"),
        ("/v1/catalogs/demo/products:batchUpsert", "application/json"),
    ],
)
async def test_a_body_that_grows_too_large_is_refused(
    gateway: Gateway, settings: HttpSettings, kind: str, path: str
) -> None:
    """A body without a length is refused as soon as it is too large, whoever reads it."""

    async def growing() -> AsyncIterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(settings.max_message_bytes >> 16):
            yield b"x" * (1 << 16)

    response = await gateway.client.post(path, content=growing(), headers={"content-type": kind})
    assert response.status_code == 413


class TestEnvelope:
    """The envelope around an app of one line."""

    @staticmethod
    async def answer(
        envelope: Envelope, path: str = "/v1/x", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> dict[str, Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await envelope(
            {
                "type": "http",
                "scheme": "http",
                "method": "GET",
                "path": path,
                "query_string": b"",
                "headers": list(headers),
            },
            receive,
            send,
        )
        body = b"".join(message.get("body", b"") for message in sent)
        return {"status": sent[0]["status"], **json.loads(body or b"{}")}

    async def test_a_slow_answer_is_a_deadline_exceeded(self) -> None:
        """A request ends at its deadline, and what it asks of others knows that deadline."""
        ends_at: list[float | None] = []

        async def slow(_scope: Any, _receive: Any, _send: Any) -> None:
            ends_at.append(deadline._at.get())
            await asyncio.Event().wait()

        envelope = Envelope(slow, replace(HttpSettings(), default_timeout_s=0.02), Gatekeeper())
        begun_at = time.monotonic()
        problem = await self.answer(envelope)
        assert (problem["status"], problem["reason"]) == (504, "DEADLINE_EXCEEDED")
        assert ends_at[0] is not None
        assert begun_at + 0.02 <= ends_at[0] <= time.monotonic()

    async def test_too_many_requests_are_refused_at_once(self) -> None:
        """Beyond the limit a request is refused with a time to retry; probes are not."""
        entered, release = asyncio.Event(), asyncio.Event()

        async def held(scope: Any, _receive: Any, send: Any) -> None:
            if scope["path"] == "/v1/x":
                entered.set()
                await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        envelope = Envelope(held, replace(HttpSettings(), max_inflight=1), Gatekeeper())
        first = asyncio.create_task(self.answer(envelope))
        await entered.wait()
        refused = await self.answer(envelope)
        assert (refused["status"], refused["retry_after"]) == (429, 0.5)
        assert (await self.answer(envelope, "/healthz"))["status"] == 200
        release.set()
        assert (await first)["status"] == 200
        assert (await self.answer(envelope))["status"] == 200

    async def test_who_is_refused_makes_no_span(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A caller can have only what it is let in for recorded, and that from its first moment."""

        class Recorder:
            def __init__(self) -> None:
                self.started_ns: list[int | None] = []

            def samples(self, trace_id: str) -> bool:
                raise NotImplementedError

            def start(
                self,
                kind: trace.Kind,
                name: str,
                attributes: trace.Attributes,
                *,
                start_ns: int | None = None,
            ) -> None:
                self.started_ns.append(start_ns)

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        recorder, gatekeeper = Recorder(), Gatekeeper()
        monkeypatch.setattr(trace, "_recorder", recorder)
        envelope = Envelope(app, HttpSettings(), gatekeeper)
        wish = ((b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),)
        gatekeeper.secret = "a secret"
        assert (await self.answer(envelope, headers=wish))["status"] == 401
        assert not recorder.started_ns
        before_ns = time.time_ns()
        assert (await self.answer(envelope, headers=(*wish, (b"x-api-key", b"a secret"))))["status"] == 200
        [started_ns] = recorder.started_ns
        assert started_ns is not None
        assert before_ns <= started_ns <= time.time_ns()

    async def test_a_timeout_of_something_inside_is_not_the_deadline(self) -> None:
        """Only the request's own deadline is DEADLINE_EXCEEDED."""

        async def failing(_scope: Any, _receive: Any, _send: Any) -> None:
            raise TimeoutError

        assert (await self.answer(Envelope(failing, HttpSettings(), Gatekeeper())))["status"] == 500

    async def test_an_answer_that_has_begun_is_torn(self) -> None:
        """An error after the first bytes cannot become a problem: the connection ends."""

        async def torn(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise errors.Unavailable("away")

        with pytest.raises(ConnectionAbortedError):
            await self.answer(Envelope(torn, HttpSettings(), Gatekeeper()))

    async def test_what_is_no_request_passes(self) -> None:
        """A server's lifespan is none of the envelope's business."""
        seen: list[Any] = []

        async def app(scope: Any, *_channels: Any) -> None:
            seen.append(scope)

        await Envelope(app, HttpSettings(), Gatekeeper())({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
        assert seen == [{"type": "lifespan"}]

    async def test_a_length_that_is_no_number_is_refused(self) -> None:
        """A length that cannot be read is as good as too large."""

        async def never(_scope: Any, _receive: Any, _send: Any) -> None:
            raise AssertionError

        problem = await self.answer(
            Envelope(never, HttpSettings(), Gatekeeper()), headers=((b"content-length", b"-1"),)
        )
        assert problem["status"] == 413


async def test_requests_are_counted_by_route(gateway: Gateway) -> None:
    """A search counts under its pattern, whatever the catalogue, and every route exists from the start."""
    labels = {"method": "POST", "route": "/v1/catalogs/{catalog}:search", "status": "200"}
    before = REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels)
    assert before is not None
    await gateway.client.post(SEARCH, json=WORDS)
    assert REGISTRY.get_sample_value("vitrine_gateway_http_requests_total", labels) == before + 1


def _counted(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, "every series exists from the start"
    return value


def _searches(status: int) -> float:
    route = "/v1/catalogs/{catalog}:search"
    return _counted("vitrine_gateway_http_requests_total", method="POST", route=route, status=str(status))


def _overloaded() -> float:
    return _counted("vitrine_server_overloaded_total", call="POST /v1/catalogs/{catalog}:search")


async def test_requests_in_hand_are_told_with_the_calls_of_grpc(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autoscalers follow one number, whatever the calls come over; probes are no calls."""
    in_hand: list[float] = []

    async def search(_request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        await gateway.client.get("/healthz")
        in_hand.append(_counted("vitrine_server_inflight"))
        return search_pb2.SearchResponse()

    monkeypatch.setattr(gateway.search, "search", search)
    before = _counted("vitrine_server_inflight")
    await gateway.client.post(SEARCH, json=WORDS)
    assert in_hand == [before + 1]
    assert _counted("vitrine_server_inflight") == before


async def test_a_search_that_found_no_room_is_one_that_failed(
    media: Media, settings: HttpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as refused, under what was asked for, and as want of room: promises are about it too."""
    entered, release = asyncio.Event(), asyncio.Event()
    flows = Flows(media)

    async def held(_request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        entered.set()
        await release.wait()
        return search_pb2.SearchResponse()

    monkeypatch.setattr(flows.search, "search", held)
    app = create_app(replace(settings, max_inflight=1), flows)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vitrine") as client:
        first = asyncio.create_task(client.post(SEARCH, json=WORDS))
        await entered.wait()
        refused, overloaded = _searches(429), _overloaded()
        rejected = _counted("vitrine_server_rejected_total")
        answer = await client.post(SEARCH, json=WORDS)
        assert (answer.status_code, answer.json()["reason"]) == (429, "OVERLOADED")
        assert (_searches(429), _overloaded()) == (refused + 1, overloaded + 1)
        assert _counted("vitrine_server_rejected_total") == rejected + 1
        release.set()
        assert (await first).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "counts"),
    [
        (errors.ResourceExhausted("full"), 429, 1),
        (errors.ResourceExhausted("too often", reason="RATE_LIMITED"), 429, 0),
        (errors.Unavailable("the keys are away", reason="STORE_UNAVAILABLE"), 503, 0),
        (errors.Unauthenticated("no key"), 401, 0),
    ],
)
async def test_what_is_refused_at_the_door_counts_where_it_wanted_to_go(
    gateway: Gateway, error: errors.VitrineError, status: int, counts: int
) -> None:
    """A search that nobody looked at was a search; a caller's own limit is no want of room."""
    gateway.flows.access.gatekeeper.error = error
    before, overloaded = _searches(status), _overloaded()
    assert (await gateway.client.post(SEARCH, json=WORDS)).status_code == status
    assert (_searches(status), _overloaded()) == (before + 1, overloaded + counts)


async def test_methods_that_callers_make_up_are_one(gateway: Gateway) -> None:
    """Nobody fills the memory with counters of methods that do not exist."""
    for method in ("FROB", "KNIT"):
        assert (await gateway.client.request(method, SEARCH)).status_code == 405
    counted = {
        sample.labels["method"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if metric.name == "vitrine_gateway_http_requests"
    }
    assert "other" in counted
    assert not counted & {"FROB", "KNIT"}


async def test_a_search_has_a_deadline_of_its_own(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search asks of others ends within ten seconds, and carries the trace."""
    seen: list[tuple[float, str]] = []

    async def search(_request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        seen.append((deadline.remaining_s(60), trace.current()))
        return search_pb2.SearchResponse()

    monkeypatch.setattr(gateway.search, "search", search)
    response = await gateway.client.post(SEARCH, json=WORDS)
    assert seen[0][0] <= 10
    assert seen[0][1] == response.headers["trace-id"]
