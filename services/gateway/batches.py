"""One request to write products, and what has been made of it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.gateway import products
from services.gateway.etags import etag_of
from services.gateway.media import Picture
from services.gateway.photo_making import Fetched, Lack, Made
from services.gateway.photo_vectors import ByModel, Models, rows_of
from services.gateway.products import Draft, Known, Plan
from services.gateway.store.interface import CatalogRecord
from services.mesh import status
from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.v1 import catalog_pb2


class Batch:
    """The products of a request, each with its own outcome.

    What is known and made of photos is kept from one attempt to write to the next. `drafts` are those that
    nothing speaks against so far, `plans` what becomes of them, `changing` the plans that differ from what
    there is. `vectors` are those of photos by digest, `near_duplicates` what was found for products by id.
    `written` has the ids of those that an earlier attempt has written, before a later entry of the log lost a
    race.
    """

    def __init__(self, drafts: Iterable[Draft | catalog_pb2.UpsertResult]) -> None:
        self.drafts: dict[str, Draft] = {}
        self.plans: dict[str, Plan] = {}
        self.changing: dict[str, Plan] = {}
        self.vectors: dict[str, ByModel] = {}
        self.near_duplicates: dict[str, Sequence[catalog_pb2.NearDuplicate]] = {}
        self.written: set[str] = set()
        self._known: Mapping[str, Known] = {}
        self._pictures: dict[str, Picture] = {}
        self._fetched: dict[str, str | VitrineError] = {}
        self._refused: dict[str, VitrineError] = {}
        self._results: list[Draft | catalog_pb2.UpsertResult] = []
        for draft in drafts:
            if isinstance(draft, Draft) and draft.product_id in self.drafts:
                twice = InvalidArgument("name", "is in the batch twice")
                self._results.append(failed(draft.product.name, twice))
                continue
            self._results.append(draft)
            if isinstance(draft, Draft):
                self.drafts[draft.product_id] = draft

    def begin(self, known: Mapping[str, Known]) -> bool:
        """Begin an attempt to write over what there is; whether nothing more than before speaks against it.

        What must not be written over it is left out.
        """
        self._known = known
        for each in known.values():
            for digest, vectors in each.vectors.items():
                self.vectors[digest] = {**self.vectors.get(digest, {}), **vectors}
            for photo in each.product.photos:
                if photo.media_path:
                    self._pictures[photo.digest] = Picture(photo.media_path, photo.width, photo.height)

        def check(draft: Draft) -> None:
            if draft.product_id not in self.written:
                products.check(draft, known.get(draft.product_id))

        return self._each(check)

    def addresses(self) -> list[str]:
        """What is to be fetched: addresses that no photo of their product was fetched from."""
        wanted = {
            photo.uri: None
            for draft in self.drafts.values()
            for photo in draft.asked
            if photo.uri and photo.uri not in self._fetched and photo.uri not in self._kept_addresses(draft)
        }
        return list(wanted)

    def note_fetched(self, found: Mapping[str, Fetched | VitrineError]) -> None:
        """Remember what lay behind addresses, but for the content."""
        for uri, each in found.items():
            self._fetched[uri] = each if isinstance(each, VitrineError) else each.digest

    def given(self, models: Models) -> dict[str, Lack]:
        """What the photos lack, by digest, that were given as content to products whose photos change."""
        lacks = {}
        for draft in self.drafts.values():
            if draft.photos and not self._surely_keeps_photos(draft):
                for photo in draft.asked:
                    if photo.content and (lack := self._lack(photo.digest, photo.content, "", models)):
                        lacks[photo.digest] = lack
        return lacks

    def behind(self, fetched: Mapping[str, Fetched | VitrineError], models: Models) -> dict[str, Lack]:
        """What the photos lack, by digest, that were fetched."""
        lacks = {}
        for uri, each in fetched.items():
            if isinstance(each, Fetched) and (lack := self._lack(each.digest, each.content, uri, models)):
                lacks[each.digest] = lack
        return lacks

    def note_made(self, made: Mapping[str, Made | VitrineError]) -> None:
        """Remember what was made of photos, by digest."""
        for digest, each in made.items():
            if isinstance(each, VitrineError):
                self._refused[digest] = each
                continue
            self.vectors[digest] = {**self.vectors.get(digest, {}), **each.vectors}
            if each.picture is not None:
                self._pictures[digest] = each.picture

    def plan(self) -> None:
        """Settle what becomes of each product; leave out those of which that cannot be told."""
        self.plans = {}

        def settle(draft: Draft) -> None:
            self.plans[draft.product_id] = plan = self._planned(draft)
            plan.check()

        self._each(settle)
        self.changing = {product_id: plan for product_id, plan in self.plans.items() if not plan.is_unchanged}

    def rows(self, plan: Plan, record: CatalogRecord) -> list[catalog_pb2.ProductRows] | None:
        """The product's rows in every generation, or None when its photos stay as they are.

        Where a vector is lacking for a generation that is being built, and this product's turn has not come,
        its rows there are left to the builder: of a photo that stays there is no content at hand.
        """
        if plan.keeps_photos:
            return None
        built = plan.known.generations if plan.known else frozenset()
        found = []
        for each in record.generations:
            rows = rows_of(each.generation, plan.product.photos, self.vectors)
            if len(rows.photos) == len(plan.product.photos) or each.is_ready or rows.generation in built:
                found.append(rows)
        return found

    def photos(self, plan: Plan) -> list[catalog_pb2.Photo]:
        """The product's photos as they are kept."""
        found = []
        for photo in plan.product.photos:
            kept = catalog_pb2.Photo(id=photo.id, digest=photo.digest, uri=photo.uri)
            picture = self._pictures.get(photo.digest)
            if picture is not None:
                kept.media_path, kept.width, kept.height = picture.media_path, picture.width, picture.height
            found.append(kept)
        return found

    def response(self, revision: int) -> catalog_pb2.BatchUpsertProductsResponse:
        """The outcome of each product."""
        return catalog_pb2.BatchUpsertProductsResponse(
            results=[
                each if isinstance(each, catalog_pb2.UpsertResult) else self._result(each)
                for each in self._results
            ],
            revision=revision,
        )

    def _result(self, draft: Draft) -> catalog_pb2.UpsertResult:
        plan = self.plans[draft.product_id]
        return catalog_pb2.UpsertResult(
            product=draft.product.name,
            photo_problems=plan.problems,
            unchanged=draft.product_id not in self.changing and draft.product_id not in self.written,
            etag=etag_of(plan.product),
            near_duplicates=self.near_duplicates.get(draft.product_id, ()),
        )

    def _each(self, work: Callable[[Draft], None]) -> bool:
        """Do something with every draft and leave out those that it fails for; whether there is none."""
        failures = 0
        for draft in list(self.drafts.values()):
            try:
                work(draft)
            except VitrineError as error:
                failures += 1
                del self.drafts[draft.product_id]
                plan = self.plans.pop(draft.product_id, None)
                result = failed(draft.product.name, error)
                result.photo_problems.extend(plan.problems if plan else ())
                self._results[self._results.index(draft)] = result
        return not failures

    def _planned(self, draft: Draft) -> Plan:
        known = self._known.get(draft.product_id)
        return products.planned(draft, known, fetched=self._fetched, refused=self._refused)

    def _kept_addresses(self, draft: Draft) -> Mapping[str, str]:
        known = self._known.get(draft.product_id)
        return known.fetched if known else {}

    def _surely_keeps_photos(self, draft: Draft) -> bool:
        """Whether a product's photos stay as they are, as far as that can be told yet."""
        kept = self._kept_addresses(draft)
        if any(photo.uri and photo.uri not in kept for photo in draft.asked):
            return False
        try:
            return self._planned(draft).keeps_photos
        except VitrineError:
            return False

    def _lack(self, digest: str, content: bytes, uri: str, models: Models) -> Lack | None:
        if digest in self._refused:
            return None
        lacking = models.keys() - self.vectors.get(digest, {}).keys()
        needs_picture = digest not in self._pictures
        return Lack(content, uri, frozenset(lacking), needs_picture) if lacking or needs_picture else None


def failed(name: str, error: VitrineError) -> catalog_pb2.UpsertResult:
    """The outcome of a product that was not written."""
    return catalog_pb2.UpsertResult(product=name, status=status.to_item(error))
