from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.gateway.media import MAX_SIDE, MediaStore
from services.mesh.errors import InvalidArgument, NotFound
from tests.gateway.fakes import photo


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.mark.parametrize(("form", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
async def test_small_photos_are_kept_as_given(media: MediaStore, form: str, extension: str) -> None:
    """A small photo in a form that browsers show is the very same file, however often it is put."""
    content = photo(1, form=form)
    picture = await media.put(content, _digest(content))
    assert picture.media_path == f"/media/{_digest(content)}.{extension}"
    assert await media.put(content, _digest(content)) == picture
    path = media.path(picture.media_path.rpartition("/")[2])
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_large_photos_become_smaller(media: MediaStore) -> None:
    """A large photo is kept as a WebP of the longest side allowed; its own size is told."""
    content = photo(1, size=(1300, 700), form="JPEG")
    picture = await media.put(content, _digest(content))
    assert (picture.width, picture.height) == (1300, 700)
    path = media.path(picture.media_path.rpartition("/")[2])
    with Image.open(path) as kept:
        assert kept.format == "WEBP"
        assert max(kept.size) == MAX_SIDE


async def test_photos_on_their_side_are_put_upright(media: MediaStore) -> None:
    """The orientation that a camera wrote is applied."""
    pixels = np.zeros((700, 1300, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", exif=exif)
    picture = await media.put(out.getvalue(), _digest(out.getvalue()))
    assert (picture.width, picture.height) == (700, 1300)
    with Image.open(media.path(picture.media_path.rpartition("/")[2])) as kept:
        assert kept.size[0] < kept.size[1]


async def test_other_forms_become_webp_with_their_transparency(media: MediaStore) -> None:
    """What browsers may not show is converted."""
    out = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(out, "TIFF")
    picture = await media.put(out.getvalue(), _digest(out.getvalue()))
    with Image.open(media.path(picture.media_path.rpartition("/")[2])) as kept:
        assert (kept.format, kept.mode) == ("WEBP", "RGBA")


async def test_what_is_no_picture_is_refused(media: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else, truncated or too large, leaves no file."""
    monkeypatch.setattr("services.gateway.media.MAX_PIXELS", 20_000)
    large = photo(2, size=(400, 300), form="BMP")
    for content in (b"", b"text", photo(3, size=(130, 130), form="TIFF")[:-900], large):
        with pytest.raises(InvalidArgument) as refused:
            await media.put(content, _digest(content))
        assert refused.value.field == "content"


@pytest.mark.parametrize(
    "file", ["", "x.png", "../catalog.db", "0" * 64, "0" * 64 + ".png", "0" * 64 + ".svg"]
)
def test_only_pictures_have_a_path(media: MediaStore, file: str) -> None:
    """A name that no picture has is NOT_FOUND, whatever lies there."""
    with pytest.raises(NotFound):
        media.path(file)
