"""New photos of products on their way into the catalogue: fetched, embedded, and kept as pictures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.embedding import image_field
from services.gateway.media import MediaStore, Picture
from services.gateway.photo_vectors import ByModel, ModelKey, Models, PhotoEmbedder
from services.gateway.photos import PhotoSource
from services.mesh.errors import InvalidArgument, VitrineError
from services.mesh.stages import StageClock
from vitrine.v1 import common_pb2

MAX_PICTURES_AT_ONCE = 4

# What `PhotoSource` says of a photo that it has no room for beside the others of a call.
_TOO_MANY_BYTES = "TOO_MANY_BYTES"


@dataclass(frozen=True, slots=True)
class Lack:
    """A photo, where it was fetched from, if it was, and what is to be made of it."""

    content: bytes
    uri: str
    models: frozenset[ModelKey]
    needs_picture: bool


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a photo; there is no picture where none was needed."""

    vectors: ByModel
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A photo from an address."""

    digest: str
    content: bytes


class PhotoMaker:
    """Makes what the catalogue keeps of photos."""

    def __init__(
        self, *, embedder: PhotoEmbedder, media: MediaStore, photos: PhotoSource, timeout_s: float
    ) -> None:
        self._embedder = embedder
        self._media = media
        self._photos = photos
        self._timeout_s = timeout_s

    async def fetched(self, uris: Sequence[str], clock: StageClock) -> dict[str, Fetched | VitrineError]:
        """The photos behind some addresses, or why there is none.

        Those that had no room beside the others are left out: they are to be asked for again. There is at
        least one outcome.
        """
        with clock.stage("fetch"):
            contents = await self._photos.contents(
                [common_pb2.Image(uri=uri) for uri in uris], timeout_s=self._timeout_s
            )
            found: dict[str, Fetched | VitrineError] = {}
            for uri, content in zip(uris, contents, strict=True):
                if not isinstance(content, VitrineError):
                    found[uri] = Fetched(await asyncio.to_thread(_digest, content), content)
                elif content.reason != _TOO_MANY_BYTES or len(uris) == 1:
                    found[uri] = _of_photo(content)
            return found

    async def made(
        self, lacks: Mapping[str, Lack], models: Models, clock: StageClock
    ) -> dict[str, Made | VitrineError]:
        """What was made of each photo, or why that cannot be done, by the photo's digest.

        Raises as `PhotoEmbedder.vectors`.
        """
        with clock.stage("embed"):
            vectors = await self._embedder.vectors(
                {digest: lack.content for digest, lack in lacks.items()},
                {digest: lack.models for digest, lack in lacks.items()},
                models,
            )
        at_once = asyncio.Semaphore(MAX_PICTURES_AT_ONCE)

        async def made(digest: str, lack: Lack) -> Made | VitrineError:
            found = vectors[digest]
            if isinstance(found, VitrineError):
                return _of_photo(found)
            if not lack.needs_picture:
                return Made(found, None)
            async with at_once:
                try:
                    return Made(found, await self._media.put(lack.content, digest, uri=lack.uri))
                except InvalidArgument as error:
                    return _of_photo(error)

        with clock.stage("media"):
            outcomes = await asyncio.gather(*(made(digest, lack) for digest, lack in lacks.items()))
        return dict(zip(lacks, outcomes, strict=True))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _of_photo(error: VitrineError) -> VitrineError:
    """An error of a picture as seen from its photo."""
    if isinstance(error, InvalidArgument):
        field = image_field(error, common_pb2.Image())
        return InvalidArgument(f"image.{field}", error.message, reason=error.reason)
    return error
