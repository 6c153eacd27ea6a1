"""The change log and its projections in MongoDB."""

from __future__ import annotations

import time
from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.gateway.store.interface import (
    MAX_ENTRY_BYTES,
    Bounds,
    CatalogRecord,
    Counts,
    Entry,
    HeadMoved,
    ProductKey,
    StoredProduct,
)
from services.gateway.store.mongo.connection import (
    Collection,
    Connected,
    Document,
    MongoConnection,
    only_duplicates,
    reaching,
)
from services.gateway.store.mongo.documents import (
    COVERS,
    LIVING,
    catalog_update,
    decode_catalog,
    decode_entry,
    decode_product,
    encode_entry,
    product_update,
)
from services.gateway.store.mongo.schema import joined, of_catalog, parted
from services.mesh.errors import OutOfRange, Unavailable

# A tombstone stays for so long at least, however short the log is: a gateway that stood still in the midst
# of applying an entry would otherwise bring a product back.
_TOMBSTONE_MS = 3_600_000

# Of catalogues that are no tombstones.
_STANDING: Document = {"record": {"$exists": True}}


class MongoStore(Connected):
    """A `Store` in a database, which it closes.

    The log needs no transaction. An entry is one document whose `_id` is its revision, so that each place is
    given once. The entry at the head is never removed, so the head never falls back; and as an entry is
    inserted only when the head has been seen right before its place, no gap can arise.
    """

    def __init__(self, connection: MongoConnection) -> None:
        super().__init__(connection)
        database = connection.database
        self._log: Collection = database.log
        self._marks: Collection = database.marks
        self._products: Collection = database.products
        self._catalogs: Collection = database.catalogs
        self._leases: Collection = database.leases
        # The newest head seen so far: the head is there or beyond.
        self._head = 0

    async def close(self) -> None:
        """See Store."""
        await self.connection.close()

    @reaching
    async def bounds(self) -> Bounds:
        """See Store."""
        # The floor is read first: it never rises above the head that is read after it.
        floor = await self._mark("floor")
        last = await self._log.find_one({}, {"_id": True}, sort=[("_id", -1)])
        bounds = Bounds(floor, last["_id"] if last else 0)
        self._head = max(self._head, bounds.head)
        return bounds

    @reaching
    async def applied(self) -> int:
        """See Store."""
        return await self._mark("applied")

    @reaching
    async def append(self, entry: Entry) -> None:
        """See Store."""
        if entry.revision > self._head + 1:
            await self.bounds()
        if entry.revision != self._head + 1:
            raise HeadMoved
        try:
            await self._log.insert_one(encode_entry(entry))
        except DuplicateKeyError:
            raise HeadMoved from None
        floor = await self._mark("floor")
        if floor >= entry.revision:
            # Others have gone far beyond since the head was seen. Either they went over this entry, or it
            # came into a place that had been trimmed, where nobody will ever look.
            raise Unavailable("the log went on meanwhile: nobody can tell", reason="STORE_UNAVAILABLE")
        self._head = max(self._head, entry.revision)

    @reaching
    async def apply(self, entry: Entry) -> None:
        """See Store."""
        # The tombstones that an entry this old would have to find may be gone.
        if entry.revision <= await self._mark("floor"):
            return
        await _bring(self._catalogs, [catalog_update(entry, change) for change in entry.catalogs], entry)
        await _bring(self._products, [product_update(entry, change) for change in entry.changes], entry)
        await self._raise_mark("applied", entry.revision)

    @reaching
    async def entries(
        self, after: int, *, max_entries: int = 256, max_bytes: int = MAX_ENTRY_BYTES
    ) -> Sequence[Entry]:
        """See Store."""
        bounds = await self.bounds()
        found: list[Entry] = []
        if bounds.floor <= after < bounds.head:
            query = self._log.find({"_id": {"$gt": after}}, {"outcomes": False})
            size_bytes = 0
            async with query.sort("_id").limit(max_entries) as documents:
                async for document in documents:
                    size_bytes += document["size_bytes"]
                    # What is not next has lost what was before it to the trimming meanwhile.
                    if document["_id"] != after + len(found) + 1 or (found and size_bytes > max_bytes):
                        break
                    found.append(decode_entry(document))
        if not found and after != bounds.head:
            raise OutOfRange(f"the log reaches from {bounds.floor} to {bounds.head}, not to {after}")
        return found

    @reaching
    async def changed(self, after: int, until: int, limit: int) -> Mapping[ProductKey, int]:
        """See Store."""
        query = {"_id": {"$gt": after, "$lte": until}}
        fields = {"changes.catalog": True, "changes.product_id": True}
        revisions: dict[ProductKey, int] = {}
        async with self._log.find(query, fields).sort("_id") as documents:
            async for document in documents:
                for change in document["changes"]:
                    revisions[change["catalog"], change["product_id"]] = document["_id"]
                if len(revisions) > limit:
                    raise OutOfRange(f"more than {limit} products changed after {after}")
        # Read last, so that no entry was trimmed before it was seen.
        floor = await self._mark("floor")
        if after < floor:
            raise OutOfRange(f"the log reaches back to {floor}, not to {after}")
        return revisions

    @reaching
    async def trim(self, keep_entries: int) -> None:
        """See Store."""
        bounds, applied = await self.bounds(), await self.applied()
        floor = min(bounds.head - keep_entries, applied)
        if floor <= bounds.floor:
            return
        dead = {
            "is_dead": True,
            "revision": {"$lte": floor},
            "time_ms": {"$lt": time.time_ns() // 1_000_000 - _TOMBSTONE_MS},
        }
        await self._raise_mark("floor", floor)
        await self._log.delete_many({"_id": {"$lte": min(floor, bounds.head - 1)}})
        await self._products.delete_many(dead)
        await self._catalogs.delete_many(dead)

    @reaching
    async def outcome(self, request_key: str) -> bytes | None:
        """See Store."""
        found = await self._log.find_one({"outcomes.key": request_key}, {"outcomes.$": True})
        # Below the floor lies what is about to be removed, and the head of a log that is empty.
        if found is None or found["_id"] <= await self._mark("floor"):
            return None
        outcome: bytes = found["outcomes"][0]["outcome"]
        return outcome

    @reaching
    async def revisions(self, keys: Several[ProductKey]) -> Mapping[ProductKey, int]:
        """See Store."""
        if not keys:
            return {}
        query = LIVING | {"_id": {"$in": [joined(*key) for key in keys]}}
        found = await self._products.find(query, {"revision": True}).to_list()
        return {parted(document["_id"]): document["revision"] for document in found}

    @reaching
    async def catalog(self, catalog: str) -> CatalogRecord | None:
        """See Store."""
        found = await self._catalogs.find_one({"_id": catalog, **_STANDING})
        return decode_catalog(catalog, found) if found else None

    @reaching
    async def catalogs(self, after: str, limit: int, *, deleting: bool = False) -> Sequence[CatalogRecord]:
        """See Store."""
        query = {"_id": {"$gt": after}, "is_deleting": deleting}
        found = await self._catalogs.find(query).sort("_id").limit(limit).to_list()
        return [decode_catalog(document["_id"], document) for document in found]

    @reaching
    async def counts(self, catalog: str) -> Counts:
        """See Store."""
        return await self._counted({"catalog": catalog})

    @reaching
    async def covered(self, catalog: str, generation: str) -> int:
        """See Store."""
        kinds = [kind for kind in await self._kinds(catalog) if generation in kind.split()]
        return (await self._counted({"catalog": catalog, "covers": {"$in": kinds}})).products if kinds else 0

    @reaching
    async def products(
        self, catalog: str, product_ids: Several[str], *, with_rows: bool = False
    ) -> Mapping[str, StoredProduct]:
        """See Store."""
        query = LIVING | {"_id": {"$in": [joined(catalog, product_id) for product_id in product_ids]}}
        fields = {"revision": True, "time_ms": True, "product": True, **({"rows": True} if with_rows else {})}
        found = await self._products.find(query, fields).to_list()
        return {each.product_id: each for each in map(decode_product, found)}

    @reaching
    async def list_products(
        self, catalog: str, after: str, limit: int, *, flagged_only: bool = False
    ) -> Sequence[StoredProduct]:
        """See Store."""
        query = LIVING | {"_id": of_catalog(catalog, after)}
        if flagged_only:
            query |= {"is_flagged": True}
        return await self._page(query, limit, index="flagged" if flagged_only else "_id_", without="rows")

    @reaching
    async def lacking(self, catalog: str, generation: str, after: str, limit: int) -> Sequence[StoredProduct]:
        """See Store."""
        kinds = [kind for kind in await self._kinds(catalog) if generation not in kind.split()]
        if not kinds:
            return []
        query = {"catalog": catalog, "covers": {"$in": kinds}, "_id": of_catalog(catalog, after)}
        return await self._page(query, limit, index="covered")

    @reaching
    async def scan(
        self, buckets: Sequence[int], after: ProductKey | None, limit: int
    ) -> Sequence[StoredProduct]:
        """See Store."""
        query: Document = LIVING | {"bucket": {"$in": list(buckets)}}
        if after is not None:
            query["_id"] = {"$gt": joined(*after)}
        return await self._page(query, limit, index="scanned")

    @reaching
    async def purge(self, catalog: str, keep: Several[str], limit: int, *, at: int) -> int:
        """See Store."""
        kinds = [kind for kind in await self._kinds(catalog) if not set(kind.split()) <= set(keep)]
        query = {"catalog": catalog, "covers": {"$in": kinds}}
        fields = {"covers": True, "revision": True}
        found = await self._products.find(query, fields).hint("covered").limit(limit).to_list()
        gone = [
            ({"_id": document["_id"], "revision": document["revision"]}, generation)
            for document in found
            for generation in document["covers"].split()
            if generation not in keep
        ][:limit]
        # The record is read after the products: what these had of other generations is of no use, and never
        # will be. Whatever they are given later is spared, as they are of another revision then.
        if not gone or not await self._catalogs.find_one({"_id": catalog, "revision": at, **_STANDING}):
            return 0
        await self._products.bulk_write(
            [UpdateOne(seen, [{"$unset": f"rows.{generation}"}, COVERS]) for seen, generation in gone],
            ordered=False,
        )
        return len(gone)

    @reaching
    async def lease(self, name: str, holder: str, ttl_s: float) -> bool:
        """See Store. The database's clock tells the time, so that those of gateways may differ."""
        taker = {"$literal": holder}
        # A lease that nobody has taken yet ends before all times.
        is_free = {"$or": [{"$eq": ["$holder", taker]}, {"$lte": [{"$ifNull": ["$until", None]}, "$$NOW"]}]}
        until = {"$add": ["$$NOW", round(ttl_s * 1000)]}
        lease = await self._leases.find_one_and_update(
            {"_id": name},
            [
                {
                    "$set": {
                        "holder": {"$cond": [is_free, taker, "$holder"]},
                        "until": {"$cond": [is_free, until, "$until"]},
                    }
                }
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert lease is not None
        return bool(lease["holder"] == holder)

    async def _mark(self, name: str) -> int:
        found = await self._marks.find_one({"_id": name})
        return found["revision"] if found else 0

    async def _raise_mark(self, name: str, revision: int) -> None:
        await self._marks.update_one({"_id": name}, {"$max": {"revision": revision}}, upsert=True)

    async def _kinds(self, catalog: str) -> list[str]:
        """The sets of generations that products of a catalogue cover: few, and told by the index alone."""
        kinds: list[str] = await self._products.distinct("covers", {"catalog": catalog})
        return kinds

    async def _counted(self, query: Document) -> Counts:
        summed = {"_id": None, "products": {"$sum": 1}, "photos": {"$sum": "$photo_count"}}
        cursor = await self._products.aggregate([{"$match": query}, {"$group": summed}], hint="covered")
        found = await cursor.to_list()
        return Counts(found[0]["products"], found[0]["photos"]) if found else Counts(0, 0)

    async def _page(
        self, query: Document, limit: int, *, index: str, without: str = ""
    ) -> list[StoredProduct]:
        """Products by key; `without` names a field that is left out."""
        fields: dict[str, Any] = {"covers": False, **({without: False} if without else {})}
        found = await self._products.find(query, fields).sort("_id").hint(index).limit(limit).to_list()
        return [decode_product(document) for document in found]


async def _bring(collection: Collection, updates: list[UpdateOne], entry: Entry) -> None:
    """Do those of the updates whose documents are older than the entry."""
    while updates:
        try:
            await collection.bulk_write(updates, ordered=False)
            return
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise
            failed = error.details["writeErrors"]
            taken = {each["op"]["q"]["_id"]: updates[each["index"]] for each in failed}
        # What is there is as new as the entry, or was put there just now by somebody who applies an older
        # one: then there is something left to do.
        query = {"_id": {"$in": list(taken)}, "revision": {"$lt": entry.revision}}
        older = await collection.find(query, {"_id": True}).to_list()
        updates = [taken[document["_id"]] for document in older]
