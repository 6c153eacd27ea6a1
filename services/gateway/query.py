"""What a caller asks for, checked against every limit before anything is done for it."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass

from google.protobuf import field_mask_pb2

from services.gateway import attributes, generations, masks
from services.gateway.paging import DIGEST_BYTES, SearchPosition
from services.gateway.similarity import QueryKind
from services.gateway.store.interface import CatalogRecord
from services.mesh import names
from services.mesh.errors import FailedPrecondition, InvalidArgument
from vitrine.v1 import common_pb2, search_pb2, vectorsearch_pb2

MAX_PARTS = 8
MAX_K = 100
DEFAULT_K = 10
MAX_TEXT_CHARACTERS = 1_000
MAX_URI_CHARACTERS = 2_048
MAX_WEIGHT = 100.0
MAX_FACETS = 16
MAX_GROUP_SIZE = 10
MAX_SIMILARITY = 100.0
DEFAULT_STALENESS_S = 2.0
MAX_STALENESS_S = 3_600.0

MAX_REMEMBERED = 1_024
# A request with a photo is a new one nearly always.
MAX_REMEMBERED_BYTES = 4_096

# Changes when what is under a cache key changes its form.
_FORMAT = b"search-1"
_VISUAL_SOURCES = ("image", "product", "vector")


@dataclass(frozen=True, slots=True)
class Query:
    """A valid search of one generation.

    `parts` have their weights set, and their products are bare ids. `visual` are the weights of the spaces
    that the parts have vectors in. `digest` names the request but for its page, revision and staleness.
    """

    catalog: str
    generation: common_pb2.Generation
    profile: common_pb2.Profile
    parts: tuple[search_pb2.QueryPart, ...]
    visual: dict[str, float]
    kind: QueryKind
    filter: common_pb2.Filter
    facets: tuple[str, ...]
    disjunctive_facets: bool
    group_by: vectorsearch_pb2.GroupBy | None
    diversity: float
    min_similarity: float
    k: int
    explain: bool
    min_revision: int
    max_staleness_s: float
    refuse_partial: bool
    read_mask: field_mask_pb2.FieldMask
    digest: bytes
    position: SearchPosition | None

    @property
    def cache_key(self) -> bytes:
        """Names this page of the answer, whatever the revision."""
        if self.position is None:
            return self.digest
        return _digest(self.digest, self.position.encode().encode())

    @property
    def product_ids(self) -> list[str]:
        """The products of the query, which are left out of its answer."""
        return list(
            dict.fromkeys(part.product for part in self.parts if part.WhichOneof("source") == "product")
        )

    @property
    def offset(self) -> int:
        """How many hits came on the pages before, in an order that is not by score."""
        return (self.position.offset or 0) if self.position else 0

    @property
    def vector_space(self) -> str:
        """The space in which hits are told apart for diversity, which has to see what people see."""
        if generations.spec_of(self.generation, generations.SEMANTIC_SPACE) is not None:
            return generations.SEMANTIC_SPACE
        weights = generations.visual_weights(self.profile)
        return max(weights, key=lambda space: weights[space])

    @property
    def text(self) -> str:
        """The words that are wanted."""
        return " ".join(
            part.text for part in self.parts if part.WhichOneof("source") == "text" and part.weight > 0
        )


class QueryReader:
    """Reads requests; of one that came a short while ago the query is at hand."""

    def __init__(self, *, max_image_bytes: int) -> None:
        self._max_image_bytes = max_image_bytes
        self._remembered: OrderedDict[tuple[bytes, str, int], Query] = OrderedDict()

    def read(self, request: search_pb2.SearchRequest, record: CatalogRecord) -> Query:
        """A request as a query of the active generation of its catalogue; raises as `read`."""
        if request.ByteSize() > MAX_REMEMBERED_BYTES:
            return read(request, record.generation, max_image_bytes=self._max_image_bytes)
        key = request.SerializeToString(), record.catalog, record.revision
        query = self._remembered.get(key)
        if query is not None:
            self._remembered.move_to_end(key)
            return query
        query = read(request, record.generation, max_image_bytes=self._max_image_bytes)
        self._remembered[key] = query
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return query


def read(
    request: search_pb2.SearchRequest, generation: common_pb2.Generation, *, max_image_bytes: int
) -> Query:
    """A request as a query of a generation; raises InvalidArgument with its field, or FailedPrecondition."""
    catalog = names.parse_catalog(request.catalog, "catalog")
    if not 1 <= len(request.parts) <= MAX_PARTS:
        raise InvalidArgument("parts", f"1 to {MAX_PARTS} parts")
    profile = generations.profile_of(generation, request.profile)
    if profile is None:
        known = ", ".join(each.name for each in generation.profiles)
        raise InvalidArgument("profile", f"there is no profile {request.profile[:80]!r}; there are {known}")
    parts = tuple(
        _part(part, f"parts[{index}]", catalog, generation, max_image_bytes)
        for index, part in enumerate(request.parts)
    )
    if all(part.weight < 0 for part in parts):
        raise InvalidArgument("parts", "at least one part needs a positive weight")
    attributes.check_filter(request.filter)
    attributes.check_facets(request.facets, most=MAX_FACETS)
    if request.HasField("group_by"):
        attributes.check_group(request.group_by, most=MAX_GROUP_SIZE)
    masks.check(request.read_mask, "read_mask")
    _check_within("diversity", request.diversity, 1.0)
    _check_within("min_similarity", request.min_similarity, MAX_SIMILARITY)
    k = request.k if request.HasField("k") else DEFAULT_K
    if not 1 <= k <= MAX_K:
        raise InvalidArgument("k", f"must be 1 to {MAX_K}")
    if request.min_revision < 0:
        raise InvalidArgument("min_revision", "must not be negative")
    digest = _request_digest(request, parts, k, profile.name, generation)
    position = SearchPosition.decode(request.page_token, digest) if request.page_token else None
    return Query(
        catalog=catalog,
        generation=generation,
        profile=profile,
        parts=parts,
        visual=_visual(parts, profile, generation),
        kind=QueryKind.IMAGE if any(_looks(part) for part in parts) else QueryKind.TEXT,
        filter=request.filter,
        facets=tuple(request.facets),
        disjunctive_facets=request.disjunctive_facets,
        group_by=request.group_by if request.HasField("group_by") else None,
        diversity=request.diversity,
        min_similarity=request.min_similarity,
        k=k,
        explain=request.explain,
        min_revision=max(request.min_revision, position.revision if position else 0),
        max_staleness_s=_staleness_s(request),
        refuse_partial=request.refuse_partial,
        read_mask=request.read_mask,
        digest=digest,
        position=position,
    )


def _check_within(field: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise InvalidArgument(field, f"must be 0 to {most:g}")


def _looks(part: search_pb2.QueryPart) -> bool:
    return part.weight > 0 and part.WhichOneof("source") in _VISUAL_SOURCES


def _part(
    part: search_pb2.QueryPart,
    field: str,
    catalog: str,
    generation: common_pb2.Generation,
    max_image_bytes: int,
) -> search_pb2.QueryPart:
    weight = part.weight if part.HasField("weight") else 1.0
    if not math.isfinite(weight) or not 0 < abs(weight) <= MAX_WEIGHT:
        raise InvalidArgument(f"{field}.weight", f"must not be 0, nor beyond {MAX_WEIGHT:g} either way")
    source = part.WhichOneof("source")
    if source is None:
        raise InvalidArgument(field, "is empty: one of image, product, text, vector")
    checked = search_pb2.QueryPart(weight=weight)
    if source == "image":
        check_image(part.image, f"{field}.image", max_image_bytes)
        checked.image.CopyFrom(part.image)
    elif source == "product":
        checked.product = _product_id(part.product, f"{field}.product", catalog)
    elif source == "text":
        if len(part.text) > MAX_TEXT_CHARACTERS or not part.text.strip():
            raise InvalidArgument(f"{field}.text", f"1 to {MAX_TEXT_CHARACTERS} characters")
        checked.text = part.text.strip()
    else:
        _check_vector(part.vector, f"{field}.vector", generation)
        checked.vector.CopyFrom(part.vector)
    return checked


def check_image(image: common_pb2.Image, field: str, max_bytes: int) -> None:
    """Raise InvalidArgument for what need not be fetched or decoded to be refused."""
    if image.content and image.uri:
        raise InvalidArgument(f"{field}.uri", "give the picture's content or its address, not both")
    if len(image.uri) > MAX_URI_CHARACTERS:
        raise InvalidArgument(f"{field}.uri", f"at most {MAX_URI_CHARACTERS} characters")
    if not image.content and not image.uri:
        raise InvalidArgument(f"{field}.content", "is empty")
    if len(image.content) > max_bytes:
        raise InvalidArgument(
            f"{field}.content", f"has {len(image.content)} bytes where {max_bytes} are allowed"
        )
    if image.HasField("box"):
        box = image.box
        if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
            raise InvalidArgument(f"{field}.box", "needs 0 <= left < right <= 1 and 0 <= top < bottom <= 1")


def _product_id(product: str, field: str, catalog: str) -> str:
    if "/" not in product:
        return names.check_product_id(product, field)
    of, product_id = names.parse_product(product, field)
    if of != catalog:
        raise InvalidArgument(field, f"is not a product of {names.catalog_name(catalog)}")
    return product_id


def _check_vector(vector: common_pb2.Vector, field: str, generation: common_pb2.Generation) -> None:
    spec = generations.spec_of(generation, vector.space)
    if spec is None:
        known = ", ".join(each.space for each in generation.spaces)
        raise InvalidArgument(f"{field}.space", f"there is no space {vector.space[:80]!r}; there are {known}")
    if vector.model_digest and vector.model_digest != spec.model_digest:
        raise FailedPrecondition(f"{field} is of another model than the catalogue's", reason="MODEL_MISMATCH")


def _visual(
    parts: tuple[search_pb2.QueryPart, ...], profile: common_pb2.Profile, generation: common_pb2.Generation
) -> dict[str, float]:
    """The profile's spaces that the parts have vectors in, their weights scaled to the sum of all."""
    weights = generations.visual_weights(profile)
    given: set[str] = set()
    for part in parts:
        source = part.WhichOneof("source")
        if source == "text":
            given |= {spec.space for spec in generation.spaces if spec.accepts_text}
        elif source == "vector":
            given.add(part.vector.space)
        else:
            given |= weights.keys()
    reached = {space: weight for space, weight in weights.items() if space in given}
    if not reached:
        raise FailedPrecondition(
            f"profile {profile.name} compares {', '.join(weights)}, where this query has no vector",
            reason="SPACE_MISSING",
        )
    return scaled(reached, sum(weights.values()))


def scaled(weights: dict[str, float], total: float) -> dict[str, float]:
    """Weights in the same proportions with another sum."""
    factor = total / sum(weights.values())
    return {space: weight * factor for space, weight in weights.items()}


def _staleness_s(request: search_pb2.SearchRequest) -> float:
    if not request.HasField("max_staleness"):
        return DEFAULT_STALENESS_S
    staleness_s = request.max_staleness.seconds + request.max_staleness.nanos / 1e9
    if not 0 <= staleness_s <= MAX_STALENESS_S:
        raise InvalidArgument("max_staleness", f"must be 0 to {MAX_STALENESS_S:g} s")
    return staleness_s


def _request_digest(
    request: search_pb2.SearchRequest,
    parts: tuple[search_pb2.QueryPart, ...],
    k: int,
    profile: str,
    generation: common_pb2.Generation,
) -> bytes:
    same = search_pb2.SearchRequest(
        catalog=request.catalog,
        parts=parts,
        profile=profile,
        filter=request.filter,
        k=k,
        explain=request.explain,
        facets=request.facets,
        disjunctive_facets=request.disjunctive_facets,
        group_by=request.group_by if request.HasField("group_by") else None,
        diversity=request.diversity,
        min_similarity=request.min_similarity,
    )
    # All of the generation: a catalogue that is created anew has one of the same id.
    frozen = generation.SerializeToString(deterministic=True)
    return _digest(_FORMAT, frozen, same.SerializeToString(deterministic=True))


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
