"""Answered searches and what people made of them in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from pymongo.errors import BulkWriteError

from services.gateway.store.mongo.connection import (
    Collection,
    Connected,
    Document,
    MongoConnection,
    only_duplicates,
    reaching,
)
from services.gateway.store.mongo.schema import joined
from services.gateway.store.query_log import MAX_FEEDBACK, QueryPosition, QueryRange
from vitrine.v1 import queries_pb2


class MongoQueryStore(Connected):
    """A `QueryStore`: a query and its feedback are one document, so that one never outlives the other."""

    def __init__(self, connection: MongoConnection) -> None:
        super().__init__(connection)
        self._queries: Collection = connection.database.queries

    @reaching
    async def add(self, catalog: str, queries: Sequence[queries_pb2.LoggedQuery]) -> None:
        """See QueryStore."""
        if not queries:
            return
        try:
            await self._queries.insert_many([_document(catalog, each) for each in queries], ordered=False)
        except BulkWriteError as error:
            # Those that were there stay as they are.
            if not only_duplicates(error):
                raise

    @reaching
    async def add_feedback(self, catalog: str, query_id: str, feedback: queries_pb2.Feedback) -> bool:
        """See QueryStore."""
        query = {"_id": joined(catalog, query_id)}
        given = {"product": feedback.product, "kind": int(feedback.kind)}
        is_new = {
            "feedback": {"$not": {"$elemMatch": given}},
            f"feedback.{MAX_FEEDBACK - 1}": {"$exists": False},
        }
        stored = given | {"time_ms": feedback.time.ToMilliseconds(), "feedback": feedback.SerializeToString()}
        added = await self._queries.update_one(query | is_new, {"$push": {"feedback": stored}})
        return added.matched_count > 0 or await self._queries.find_one(query, {"_id": True}) is not None

    @reaching
    async def queries(
        self, wanted: QueryRange, after: QueryPosition | None, limit: int
    ) -> Sequence[queries_pb2.LoggedQuery]:
        """See QueryStore."""
        query: Document = {
            "catalog": wanted.catalog,
            "time_ms": {"$gte": wanted.start_ms, "$lt": wanted.end_ms},
        }
        if after is not None:
            time_ms, query_id = after
            query["time_ms"]["$lte"] = time_ms
            query["$or"] = [{"time_ms": {"$lt": time_ms}}, {"query_id": {"$gt": query_id}}]
        if wanted.zero_results_only:
            query["has_hits"] = False
        cursor = self._queries.find(query).sort([("time_ms", -1), ("query_id", 1)]).limit(limit)
        return [_logged(document) for document in await cursor.to_list()]

    @reaching
    async def forget(self, before_ms: int, limit: int) -> int:
        """See QueryStore."""
        query = {"time_ms": {"$lt": before_ms}}
        found = await self._queries.find(query, {"_id": True}).sort("time_ms").limit(limit).to_list()
        if not found:
            return 0
        keys = [document["_id"] for document in found]
        return (await self._queries.delete_many({"_id": {"$in": keys}})).deleted_count


def _document(catalog: str, query: queries_pb2.LoggedQuery) -> Document:
    return {
        "_id": joined(catalog, query.query_id),
        "catalog": catalog,
        "query_id": query.query_id,
        "time_ms": query.time.ToMilliseconds(),
        "has_hits": query.hit_count > 0,
        "query": query.SerializeToString(),
        "feedback": [],
    }


def _logged(document: Document) -> queries_pb2.LoggedQuery:
    query = queries_pb2.LoggedQuery.FromString(document["query"])
    for each in sorted(document["feedback"], key=itemgetter("time_ms", "product", "kind")):
        query.feedback.add().MergeFromString(each["feedback"])
    return query
