"""Entries, products and catalogues as documents, and as the updates that bring projections to an entry."""

from __future__ import annotations

from typing import Any

from pymongo import UpdateOne

from services.gateway.store import records
from services.gateway.store.interface import (
    CatalogChange,
    CatalogRecord,
    Entry,
    ProductChange,
    StoredProduct,
)
from services.gateway.store.mongo.schema import joined, parted

Document = dict[str, Any]

# Of products that are no tombstones.
LIVING: Document = {"catalog": {"$exists": True}}

# The last stage of an update of a product: `covers` follows from its rows.
COVERS: Document = {
    "$set": {
        "covers": {
            "$reduce": {
                "input": {"$objectToArray": {"$ifNull": ["$rows", {"$literal": {}}]}},
                "initialValue": "",
                "in": {"$concat": ["$$value", "$$this.k", " "]},
            }
        }
    }
}


def encode_entry(entry: Entry) -> Document:
    """A document of `log`."""
    return {
        "_id": entry.revision,
        "time_ms": entry.time_ms,
        "size_bytes": entry.size_bytes,
        "changes": [
            {
                "catalog": change.catalog,
                "product_id": change.product_id,
                "product": change.product,
                "rows": dict(change.rows) if change.rows else None,
                "photo_count": change.photo_count,
                "flagged": change.flagged,
            }
            for change in entry.changes
        ],
        "catalogs": [{"catalog": change.catalog, **_stated(change.record)} for change in entry.catalogs],
        # Without the field when there are none, so that the index does not hold the entry.
        **({"outcomes": _outcomes(entry)} if entry.outcomes else {}),
    }


def decode_entry(document: Document) -> Entry:
    """The entry of a document of `log`, without its outcomes."""
    return Entry(
        revision=document["_id"],
        time_ms=document["time_ms"],
        changes=tuple(ProductChange(**change) for change in document["changes"]),
        catalogs=tuple(
            CatalogChange(
                change["catalog"],
                None if change["record"] is None else decode_catalog(change["catalog"], change),
            )
            for change in document["catalogs"]
        ),
    )


def decode_catalog(catalog: str, document: Document) -> CatalogRecord:
    """The record that a document states, of the revision that it has, 0 if it has none."""
    return records.decode(
        catalog,
        document["record"],
        is_deleting=document["is_deleting"],
        revision=document.get("revision", 0),
    )


def decode_product(document: Document) -> StoredProduct:
    """A product of `products`, with its rows if the document has them."""
    catalog, product_id = parted(document["_id"])
    return StoredProduct(
        catalog=catalog,
        product_id=product_id,
        revision=document["revision"],
        time_ms=document["time_ms"],
        product=document["product"],
        rows=document.get("rows", {}),
    )


def product_update(entry: Entry, change: ProductChange) -> UpdateOne:
    """Bring a product to an entry, unless it is as new: then this fails with a duplicate key."""
    header = {"revision": entry.revision, "time_ms": entry.time_ms}
    key = _older(joined(change.catalog, change.product_id), entry)
    if change.product is None:
        return UpdateOne(key, [{"$replaceWith": {"_id": "$_id", "is_dead": True, **header}}], upsert=True)
    stated = {
        "catalog": change.catalog,
        "bucket": change.bucket,
        "product": change.product,
        "photo_count": change.photo_count,
        "is_flagged": True if change.flagged else "$$REMOVE",
        "is_dead": "$$REMOVE",
        **{f"rows.{generation}": rows for generation, rows in (change.rows or {}).items()},
    }
    return UpdateOne(key, [{"$set": header | stated}, COVERS], upsert=True)


def catalog_update(entry: Entry, change: CatalogChange) -> UpdateOne:
    """The same of a catalogue."""
    stated = {"is_dead": True} if change.record is None else _stated(change.record)
    header = {"_id": "$_id", "revision": entry.revision, "time_ms": entry.time_ms}
    return UpdateOne(_older(change.catalog, entry), [{"$replaceWith": header | stated}], upsert=True)


def _older(key: str, entry: Entry) -> Document:
    return {"_id": key, "revision": {"$lt": entry.revision}}


def _stated(record: CatalogRecord | None) -> Document:
    if record is None:
        return {"record": None, "is_deleting": False}
    return {"record": records.encode(record), "is_deleting": record.is_deleting}


def _outcomes(entry: Entry) -> list[Document]:
    return [{"key": key, "outcome": outcome} for key, outcome in entry.outcomes.items()]
