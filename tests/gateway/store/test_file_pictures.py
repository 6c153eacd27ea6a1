from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.store.file_pictures import FilePictures
from services.mesh.errors import Unavailable
from tests.gateway.picture_store_suite import FILE, PictureStoreSuite


@pytest.fixture
def pictures(tmp_path: Path) -> FilePictures:
    return FilePictures(tmp_path / "media")


class TestFilePictures(PictureStoreSuite):
    async def test_nothing_else_is_left(self, pictures: FilePictures, tmp_path: Path) -> None:
        """Where a picture was put, there is its file alone, and another process finds it."""
        await pictures.put(FILE, b"data")
        assert [path.name for path in (tmp_path / "media").iterdir()] == [FILE]
        assert await FilePictures(tmp_path / "media").get(FILE) == b"data"

    async def test_a_disk_that_fails_is_unavailable(self, pictures: FilePictures, tmp_path: Path) -> None:
        """What the disk refuses is an outage, and leaves no half picture."""
        (tmp_path / "media").rmdir()
        with pytest.raises(Unavailable) as refused:
            await pictures.put(FILE, b"data")
        assert refused.value.reason == "STORE_UNAVAILABLE"
        (tmp_path / "media" / FILE).mkdir(parents=True)
        with pytest.raises(Unavailable):
            await pictures.get(FILE)
