"""The vectors of products' photos by model, for as many generations as a catalogue has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.gateway.embedding import Embedder
from services.mesh import status
from services.mesh.errors import VitrineError
from vitrine.v1 import catalog_pb2, common_pb2, embedder_pb2, vectorsearch_pb2

ModelKey = tuple[str, str]
"""A space and the digest of a model."""

ByModel = Mapping[ModelKey, common_pb2.Vector]
Models = Mapping[ModelKey, common_pb2.SpaceSpec]


def models_of(generations: Iterable[common_pb2.Generation]) -> dict[ModelKey, common_pb2.SpaceSpec]:
    """The models of all these generations, each once."""
    return {(spec.space, spec.model_digest): spec for generation in generations for spec in generation.spaces}


def by_model(vectors: Iterable[common_pb2.Vector]) -> dict[ModelKey, common_pb2.Vector]:
    """Vectors by their models."""
    return {(vector.space, vector.model_digest): vector for vector in vectors}


def rows_of(
    generation: common_pb2.Generation,
    photos: Sequence[catalog_pb2.Photo],
    vectors: Mapping[str, ByModel],
) -> catalog_pb2.ProductRows:
    """A product's rows in a generation, from vectors by the photo's digest.

    A photo that lacks the vector of one of its models is left out.
    """
    models = models_of([generation])
    rows = catalog_pb2.ProductRows(generation=generation.id)
    for photo in photos:
        known = vectors.get(photo.digest, {})
        if models.keys() <= known.keys():
            rows.photos.append(
                vectorsearch_pb2.PhotoVectors(photo_id=photo.id, vectors=[known[key] for key in models])
            )
    return rows


class PhotoEmbedder:
    """Embeds photos for a catalogue, behind whoever waits for a search."""

    def __init__(self, embedder: Embedder, *, timeout_s: float) -> None:
        self._embedder = embedder
        self._timeout_s = timeout_s

    async def vectors(
        self, contents: Mapping[str, bytes], lacking: Mapping[str, Collection[ModelKey]], models: Models
    ) -> dict[str, ByModel | VitrineError]:
        """The vectors that each photo lacks, or why it has none, by the photo's digest.

        `contents` are files by digest, `lacking` the keys into `models`. Photos that lack the same are one
        call. Raises Unavailable, and FailedPrecondition (reason MODEL_MISMATCH), as `Embedder.photos`.
        """
        groups: dict[frozenset[ModelKey], list[str]] = {}
        for digest in contents:
            groups.setdefault(frozenset(lacking[digest]), []).append(digest)
        found: dict[str, ByModel | VitrineError] = {}
        for keys, digests in groups.items():
            embeddings = await self._embedder.photos(
                [common_pb2.Image(content=contents[digest]) for digest in digests],
                [spec for key, spec in models.items() if key in keys],
                priority=embedder_pb2.PRIORITY_BULK,
                timeout_s=self._timeout_s,
            )
            for digest, embedding in zip(digests, embeddings, strict=True):
                found[digest] = (
                    status.from_item(embedding.status)
                    if embedding.status.code
                    else by_model(embedding.vectors)
                )
        return found
