from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.gateway.media import MAX_SIDE, Elsewhere, MediaStore
from services.gateway.photos import PhotoSource
from services.gateway.store.file_pictures import FilePictures
from services.mesh.errors import InvalidArgument, NotFound
from services.mesh.fetch.fetching import Fetcher
from services.mesh.pictures.decoding import ImageLimits
from tests.gateway.fakes import photo
from tests.mesh.fetch.servers import Server, fetching, reply, serving
from tests.mesh.pictures import hostile

HUGE = hostile.png(hostile.png_header(10_000, 6_000), hostile.png_pixels(10))


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with fetching() as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
def media(tmp_path: Path, fetcher: Fetcher) -> MediaStore:
    return media_in(tmp_path, fetcher)


def media_in(
    directory: Path, fetcher: Fetcher, redirect_hosts: Sequence[str] = (), limits: ImageLimits | None = None
) -> MediaStore:
    return MediaStore(
        FilePictures(directory / "media"),
        photos=PhotoSource(fetcher),
        limits=limits or ImageLimits(),
        redirect_hosts=redirect_hosts,
        fetch_timeout_s=60,
    )


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file(media_path: str) -> str:
    return media_path.removeprefix("/media/")


async def shown(media: MediaStore, content: bytes) -> Image.Image:
    """What is served for a photo."""
    picture = await media.put(content, digest(content))
    return Image.open(io.BytesIO(await media.data(file(picture.media_path))))


@pytest.mark.parametrize(("form", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
async def test_small_photos_are_kept_as_given(media: MediaStore, form: str, suffix: str) -> None:
    """A small photo in a form that browsers show is the very same file, however often it is put."""
    content = photo(1, form=form)
    picture = await media.put(content, digest(content))
    assert picture.media_path == f"/media/{digest(content)}.{suffix}"
    assert await media.put(content, digest(content)) == picture
    assert await media.shown(file(picture.media_path)) == content


async def test_large_photos_become_smaller(media: MediaStore) -> None:
    """A large photo is kept as a WebP of the longest side allowed; its own size is told."""
    content = photo(1, size=(1300, 700), form="JPEG")
    picture = await media.put(content, digest(content))
    assert (picture.width, picture.height) == (1300, 700)
    kept = await shown(media, content)
    assert kept.format == "WEBP"
    assert max(kept.size) == MAX_SIDE


async def test_photos_on_their_side_are_put_upright(media: MediaStore) -> None:
    """The orientation that a camera wrote is applied."""
    out = io.BytesIO()
    pixels = Image.fromarray(np.zeros((700, 1300, 3), np.uint8))
    pixels.save(out, "JPEG", exif=hostile.exif(6))
    picture = await media.put(out.getvalue(), digest(out.getvalue()))
    assert (picture.width, picture.height) == (700, 1300)
    kept = await shown(media, out.getvalue())
    assert kept.size[0] < kept.size[1]


async def test_other_forms_become_webp_with_their_transparency(media: MediaStore) -> None:
    """What browsers may not show is converted."""
    out = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(out, "TIFF")
    kept = await shown(media, out.getvalue())
    assert (kept.format, kept.mode) == ("WEBP", "RGBA")


async def test_what_is_no_picture_is_refused(tmp_path: Path, fetcher: Fetcher) -> None:
    """Anything else, cut off, damaged or too large, leaves no file."""
    media = media_in(tmp_path, fetcher, limits=ImageLimits(max_pixels=20_000))
    large = photo(2, size=(400, 300), form="BMP")
    small = photo(3, size=(130, 130), form="JPEG")
    for content in (b"", b"text", photo(3, size=(130, 130), form="TIFF")[:-900], large, small[:-30]):
        with pytest.raises(InvalidArgument) as refused:
            await media.put(content, digest(content))
        assert refused.value.field == "image"
    assert list((tmp_path / "media").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(hostile.gif(b"", (0, 0, 65535, 65535)), id="a frame far out of a canvas"),
        pytest.param(hostile.jpeg_of_scans(1_000, 7000), id="a thousand scans"),
        pytest.param(HUGE, id="sixty megapixels of nothing"),
    ],
)
async def test_promises_of_hostile_files_are_not_believed(media: MediaStore, content: bytes) -> None:
    """A file that declares far more than it holds is refused before a decoder sees it."""
    with pytest.raises(InvalidArgument) as refused:
        await media.put(content, digest(content))
    assert refused.value.reason == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize(
    "name", ["", "x.png", "../catalog.db", "0" * 64, "0" * 64 + ".png", "0" * 64 + ".svg"]
)
async def test_only_pictures_are_shown(media: MediaStore, name: str) -> None:
    """A name that no picture has is NOT_FOUND, whatever lies there."""
    with pytest.raises(NotFound):
        await media.shown(name)


async def test_pictures_of_some_hosts_are_left_there(
    tmp_path: Path, fetcher: Fetcher, server: Server
) -> None:
    """Of a photo from such a host the address is kept; its bytes are fetched where they are needed."""
    content = photo(1, size=(1300, 700), form="JPEG")
    server.replies = {"/a.jpg": reply(200, content)}
    media = media_in(tmp_path, fetcher, redirect_hosts=["127.0.0.1"])
    picture = await media.put(content, digest(content), uri=f"{server.here}/a.jpg")
    assert picture.media_path == f"/media/{digest(content)}.uri"
    assert (picture.width, picture.height) == (1300, 700)
    assert await media.shown(file(picture.media_path)) == Elsewhere(f"{server.here}/a.jpg")
    assert await media.data(file(picture.media_path)) == content
    server.replies = {}
    with pytest.raises(InvalidArgument):
        await media.data(file(picture.media_path))
    elsewhere = await media.put(content, digest(content), uri="https://shop.example/a.jpg")
    assert elsewhere.media_path.endswith(".webp")


async def test_nobody_is_sent_to_a_host_that_is_no_longer_named(tmp_path: Path, fetcher: Fetcher) -> None:
    """A host that was taken off the list is not redirected to."""
    content = photo(1)
    named = media_in(tmp_path, fetcher, redirect_hosts=[".shop.example"])
    picture = await named.put(content, digest(content), uri="https://cdn.shop.example/a.jpg")
    assert isinstance(await named.shown(file(picture.media_path)), Elsewhere)
    with pytest.raises(NotFound):
        await media_in(tmp_path, fetcher).shown(file(picture.media_path))
