"""Pictures of products, named by the content of the photo they show, as the gateway serves them."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from PIL import Image

from services.gateway.photos import PhotoSource
from services.gateway.store.pictures import PictureStore
from services.mesh.errors import InvalidArgument, NotFound, VitrineError
from services.mesh.fetch.addresses import AllowedHosts
from services.mesh.fetch.rewriting import alternatives
from services.mesh.pictures.decoding import ImageLimits, Upright, decoded
from vitrine.v1 import common_pb2

MAX_SIDE = 640
MAX_KEPT_BYTES = 100_000
WEBP_QUALITY = 82

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

_KEPT_FORMS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
# What is kept of a picture that is served from elsewhere: its address.
_ADDRESS = "uri"
_FILE = re.compile(r"[0-9a-f]{64}\.(?:jpg|png|webp|uri)")


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture: where it is served and the size of the photo that it was made from, in pixels."""

    media_path: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A picture that another host serves."""

    uri: str


class MediaStore:
    """A small photo is kept as given, a large one as a smaller WebP, made once.

    Of a photo that was fetched from one of `redirect_hosts` the address alone is kept, and `photos` fetch it
    again where its bytes are needed.
    """

    def __init__(
        self,
        pictures: PictureStore,
        *,
        photos: PhotoSource,
        limits: ImageLimits,
        redirect_hosts: Sequence[str] = (),
        fetch_timeout_s: float,
    ) -> None:
        self._pictures = pictures
        self._photos = photos
        self._limits = limits
        self._redirect_hosts = AllowedHosts(redirect_hosts)
        self._fetch_timeout_s = fetch_timeout_s

    async def put(self, content: bytes, digest: str, *, uri: str = "") -> Picture:
        """Keep a photo whose hex SHA-256 is `digest`; done again, it changes nothing.

        `uri` is where it was fetched from. Raises InvalidArgument (field `image`) when it is not a picture
        that can be read, Unavailable where it cannot be kept.
        """
        made = await asyncio.to_thread(_made, content, self._limits)
        # The last is the one that is sure to be there: an account may refuse what it did not foresee.
        elsewhere = alternatives(uri)[-1]
        if self._is_served_by_its_host(elsewhere):
            made = _Made(elsewhere.encode(), _ADDRESS, made.width, made.height)
        file = f"{digest}.{made.suffix}"
        await self._pictures.put(file, made.data)
        return Picture(f"/media/{file}", made.width, made.height)

    async def shown(self, file: str) -> bytes | Elsewhere:
        """What is served as the last part of a `media_path`; raises NotFound for anything else."""
        data = await self._pictures.get(file) if _FILE.fullmatch(file) else None
        if data is None:
            raise NotFound(f"there is no picture {file[:80]!r}")
        if not file.endswith(_ADDRESS):
            return data
        elsewhere = Elsewhere(data.decode())
        # Whoever no longer names a host does not want to send people there.
        if not self._is_served_by_its_host(elsewhere.uri):
            raise NotFound(f"the picture {file[:80]!r} is not served from its host any more")
        return elsewhere

    async def data(self, file: str) -> bytes:
        """The bytes of the picture behind the last part of a `media_path`, fetched where they are elsewhere.

        Raises NotFound for anything else, and what `PhotoSource.contents` gives as an error.
        """
        picture = await self.shown(file)
        if isinstance(picture, bytes):
            return picture
        image = common_pb2.Image(uri=picture.uri)
        (content,) = await self._photos.contents([image], timeout_s=self._fetch_timeout_s)
        if isinstance(content, VitrineError):
            raise content
        return content

    def _is_served_by_its_host(self, uri: str) -> bool:
        return bool(uri) and httpx.URL(uri).host in self._redirect_hosts


@dataclass(frozen=True, slots=True)
class _Made:
    """What to keep of a photo, and the photo's upright width and height."""

    data: bytes
    suffix: str
    width: int
    height: int


def _made(content: bytes, limits: ImageLimits) -> _Made:
    def finish(picture: Upright) -> _Made:
        kept = _KEPT_FORMS.get(picture.form)
        if kept and max(picture.width, picture.height) <= MAX_SIDE and len(content) <= MAX_KEPT_BYTES:
            return _Made(content, kept, picture.width, picture.height)
        small = picture.image
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=WEBP_QUALITY, method=2)
        return _Made(out.getvalue(), "webp", picture.width, picture.height)

    made = decoded(content, finish, side=MAX_SIDE, limits=limits)
    if isinstance(made, InvalidArgument):
        raise made
    return made
