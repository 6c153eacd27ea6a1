from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.embedder.images import Pixels
from services.mesh.errors import FailedPrecondition, InvalidArgument
from services.trainer.evaluation import embedding
from services.trainer.evaluation.embedding import Embedder, Models, Vectors
from tests.drawings import draw
from tests.embedder.engines import MeanColourEngine


def models(engine: MeanColourEngine) -> Models:
    return Models(MeanColourEngine.spaces[:1], lambda: engine)


def silent(done: int) -> None:
    return None


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A red shoe, a file that is no picture, a blue shoe, and a copy of the red one."""
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, colour in zip(paths, ("Red", None, "Blue", "Red"), strict=True):
        if colour is None:
            path.write_bytes(b"no picture")
        else:
            draw("Shoes", colour).save(path)
    return paths


def test_what_was_embedded_is_found_again(photos: list[Path], tmp_path: Path) -> None:
    """Each content is embedded once, a second run embeds nothing, and every photo has its own vector."""
    engine = MeanColourEngine()
    readable = [photos[0], *photos[2:]]
    keys = embedding.digests(readable)
    told: list[int] = []
    first = embedding.embed_photos(readable, keys, models(engine), tmp_path / "cache", told.append)
    assert engine.batches == [2]
    assert sum(told) == 3
    again = embedding.embed_photos(readable, keys, models(engine), tmp_path / "cache", silent)
    assert engine.batches == [2]
    red, blue, copy = first.vectors["colour"]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    np.testing.assert_array_equal(red, copy)
    np.testing.assert_array_equal(first.vectors["colour"], again.vectors["colour"])
    assert first.thumbnails.shape == (3, 32, 24, 3)
    assert first.plainness.shape == (3,)


def test_a_photo_that_cannot_be_read_is_left_out(photos: list[Path], tmp_path: Path) -> None:
    """The others keep their vectors; a folder of nothing else is refused."""
    keys = embedding.digests(photos)
    found = embedding.embed_photos(photos, keys, models(MeanColourEngine()), tmp_path, silent)
    assert found.readable.tolist() == [True, False, True, True]
    assert len(found.vectors["colour"]) == 3
    with pytest.raises(InvalidArgument, match="none of its photos can be read"):
        embedding.embed_photos(photos[1:2], keys[1:2], models(MeanColourEngine()), tmp_path, silent)


def test_a_new_space_alone_is_embedded(photos: list[Path], tmp_path: Path) -> None:
    """What the other spaces have is not made again; without a space to embed the engine is not asked."""
    asked: list[Sequence[str]] = []

    class Recorder(MeanColourEngine):
        def embed_images(self, images: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, Vectors]:
            asked.append(names)
            return super().embed_images(images, names)

    (colour,) = MeanColourEngine.spaces[:1]
    keys = embedding.digests(photos)
    for spaces in ((colour,), (colour, replace(colour, name="tint", digest="t0"))):
        found = embedding.embed_photos(photos, keys, Models(spaces, Recorder), tmp_path / "cache", silent)
        assert set(found.vectors) == {space.name for space in spaces}
    assert asked == [["colour"], ["tint"]]
    for part in (tmp_path / "cache").glob("thumbnails-*/*"):
        part.unlink()
    embedding.embed_photos(photos, keys, Models((colour,), Recorder), tmp_path / "cache", silent)
    assert len(asked) == 2


def test_titles_are_kept_as_photos_are(tmp_path: Path) -> None:
    """A title is embedded once, whoever has it."""
    asked: list[str] = []

    class Reader(MeanColourEngine):
        def embed_texts(self, texts: Sequence[str], names: Sequence[str] = ()) -> dict[str, Vectors]:
            asked.extend(texts)
            return super().embed_texts(texts, names)

    for _ in range(2):
        found = embedding.embed_texts(["a bag", "a shoe", "a bag"], models(Reader()), tmp_path, silent)
        assert found["colour"].tolist() == [[1, 0, 0]] * 3
    assert asked == ["a bag", "a shoe"]


def test_the_engine_is_loaded_when_it_is_wanted() -> None:
    """Whoever finds all vectors kept never waits for weights."""
    loaded: list[int] = []

    def load() -> Embedder:
        loaded.append(1)
        return MeanColourEngine()

    lazy = Models(MeanColourEngine.spaces[:1], load)
    assert [space.name for space in lazy.text_spaces] == ["colour"]
    assert loaded == []
    assert lazy.engine is lazy.engine
    assert loaded == [1]


def test_without_weights_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    """The message is the one that tells how to get them."""
    with pytest.raises(FailedPrecondition, match="vitrine models pull"):
        Models.of(tmp_path)
