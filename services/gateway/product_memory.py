"""Products as the catalogue has them now, mostly from memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.recent_changes import RecentChanges
from services.gateway.store.interface import ProductKey, Store
from vitrine.v1 import catalog_pb2

# A message takes several times what it is serialised; the record and its place come on top. Measured roughly.
MESSAGE_FACTOR = 4
OVERHEAD_BYTES = 600


@dataclass(frozen=True, slots=True)
class _Known:
    """A product as it was when everything up to `revision` had been noticed."""

    product: catalog_pb2.Product
    revision: int
    size_bytes: int


class ProductMemory:
    """Reads products; those that have not changed since they were last read come from at most `max_bytes`."""

    def __init__(self, store: Store, recent: RecentChanges, *, max_bytes: int) -> None:
        self._store = store
        self._recent = recent
        self._max_bytes = max_bytes
        self._known: OrderedDict[ProductKey, _Known] = OrderedDict()
        self._size_bytes = 0

    def remembered(
        self, catalog: str, product_ids: Sequence[str], *, min_revision: int
    ) -> dict[str, catalog_pb2.Product]:
        """Those of the products that are in memory as they were a moment ago, not to be changed."""
        found: dict[str, catalog_pb2.Product] = {}
        if not self._recent.is_fresh(min_revision):
            return found
        for product_id in product_ids:
            key = catalog, product_id
            known = self._known.get(key)
            if known is not None and self._recent.is_unchanged(key, known.revision):
                self._known.move_to_end(key)
                found[product_id] = known.product
        return found

    def last_known(self, catalog: str, product_ids: Sequence[str]) -> Mapping[str, catalog_pb2.Product]:
        """Those of the products that are in memory, however old."""
        known = {product_id: self._known.get((catalog, product_id)) for product_id in product_ids}
        return {product_id: each.product for product_id, each in known.items() if each is not None}

    async def read(self, catalog: str, product_ids: Sequence[str]) -> Mapping[str, catalog_pb2.Product]:
        """Those of the products that exist, from the store.

        Raises Unavailable.
        """
        # Whatever changes from here on is noticed later, and so not taken for what is read now.
        revision = self._recent.revision
        stored = await self._store.products(catalog, product_ids)
        products = {}
        for product_id, each in stored.items():
            products[product_id] = each.message()
            size_bytes = MESSAGE_FACTOR * len(each.product) + OVERHEAD_BYTES
            self._remember((catalog, product_id), _Known(products[product_id], revision, size_bytes))
        return products

    def _remember(self, key: ProductKey, known: _Known) -> None:
        self._forget(key)
        if known.size_bytes > self._max_bytes:
            return
        self._known[key] = known
        self._size_bytes += known.size_bytes
        while self._size_bytes > self._max_bytes:
            self._forget(next(iter(self._known)))

    def _forget(self, key: ProductKey) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._size_bytes -= known.size_bytes
