from __future__ import annotations

import uuid

import pytest

from services.gateway.idempotency import RequestKey, request_key
from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.v1 import catalog_pb2 as pb

ID = str(uuid.uuid4())


def _key(title: str = "", request_id: str = ID) -> RequestKey:
    request = pb.CreateProductRequest(product=pb.Product(title=title), request_id=request_id)
    key = request_key("shop", request)
    assert key is not None
    return key


def test_the_same_request_opens_its_answer() -> None:
    """Whatever the case of its id."""
    answer = pb.BatchUpsertProductsResponse(revision=7)
    sealed = _key("a").sealed(answer)
    assert _key("a", ID.upper()).opened(sealed, pb.BatchUpsertProductsResponse) == answer


def test_another_request_with_the_id_is_told() -> None:
    """Other content, and another RPC with the same fields, are no repetition."""
    sealed = _key("a").sealed(pb.BatchUpsertProductsResponse())
    update = request_key("shop", pb.UpdateProductRequest(product=pb.Product(title="a"), request_id=ID))
    assert update is not None
    for other in (_key("b"), update):
        with pytest.raises(FailedPrecondition) as refused:
            other.opened(sealed, pb.BatchUpsertProductsResponse)
        assert refused.value.reason == "REQUEST_ID_REUSED"


def test_ids_are_of_their_catalogue() -> None:
    """The same id in two catalogues is two requests; without an id there is no key."""
    request = pb.DeleteProductRequest(request_id=ID)
    one, other = request_key("shop", request), request_key("other", request)
    assert one is not None
    assert other is not None
    assert one.key != other.key
    assert request_key("shop", pb.DeleteProductRequest()) is None
    with pytest.raises(InvalidArgument) as refused:
        request_key("shop", pb.DeleteProductRequest(request_id="1"))
    assert refused.value.field == "request_id"
