"""Pictures of products, named by their content, as files that the gateway serves."""

from __future__ import annotations

import asyncio
import io
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from services.mesh.errors import InvalidArgument, NotFound

MAX_SIDE = 640
MAX_KEPT_BYTES = 100_000
MAX_PIXELS = 80_000_000
WEBP_QUALITY = 82

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

_KEPT_FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_FILE = re.compile(r"[0-9a-f]{64}\.(?:jpg|png|webp)")


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture: where it is served and the size of the photo that it was made from, in pixels."""

    media_path: str
    width: int
    height: int


class MediaStore:
    """Content-addressed files in a directory: a small photo as given, a large one as a smaller WebP."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def put(self, content: bytes, digest: str) -> Picture:
        """Keep a photo whose hex SHA-256 is `digest`; done again, it changes nothing.

        Raises InvalidArgument (field `content`) when it is not a picture.
        """
        return await asyncio.to_thread(self._put, content, digest)

    def path(self, file: str) -> Path:
        """The file behind the last part of a `media_path`; raises NotFound for anything else."""
        path = self._directory / file
        if not _FILE.fullmatch(file) or not path.is_file():
            raise NotFound(f"there is no picture {file[:80]!r}")
        return path

    def _put(self, content: bytes, digest: str) -> Picture:
        try:
            with Image.open(io.BytesIO(content)) as image:
                data, extension, width, height = _made(image, content)
        except (InvalidArgument, MemoryError):
            raise
        # Pillow's parsers raise nearly any kind of exception on hostile bytes; all of them mean the same.
        except Exception as error:
            raise InvalidArgument("content", "is not a picture that can be read") from error
        path = self._directory / f"{digest}.{extension}"
        if not path.exists():
            _write_durably(path, data)
        return Picture(f"/media/{path.name}", width, height)


def _made(image: Image.Image, content: bytes) -> tuple[bytes, str, int, int]:
    """What to keep of a photo: bytes and extension; and the photo's upright width and height."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InvalidArgument("content", f"has more than {MAX_PIXELS} pixels")
    # Orientations 5 to 8 of EXIF lie on their side.
    if image.getexif().get(0x0112, 1) >= 5:
        width, height = height, width
    kept = _KEPT_FORMATS.get(image.format or "")
    if kept and max(width, height) <= MAX_SIDE and len(content) <= MAX_KEPT_BYTES:
        return content, kept, width, height
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))
    upright = ImageOps.exif_transpose(image)
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    small = upright.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=WEBP_QUALITY, method=2)
    return out.getvalue(), "webp", width, height


def _write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever dies meanwhile."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
