from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.mesh.errors import InvalidArgument
from services.trainer import splits
from services.trainer.catalogues import Photo
from services.trainer.material import Material


def test_a_group_is_never_split(doubled: Material) -> None:
    """All photos of one product are in one part, whatever catalogue shows them."""
    parts = splits.split(doubled.photos, doubled.features, validation_share=0.3, held_out={"7"})
    groups = [{doubled.photos[row].group for row in rows} for rows in (parts.train, parts.validation)]
    assert not groups[0] & groups[1]
    assert 0.1 < len(parts.validation) / 180 < 0.5
    assert sorted([*parts.train, *parts.validation, *parts.held_out, *parts.dropped]) == list(range(180))


def test_the_split_does_not_depend_on_the_order(drawn: Material) -> None:
    """A photo is in the same part whatever else is in the catalogue."""
    backwards = drawn.take(np.arange(90)[::-1].copy())
    found = [
        {
            each.photos[row].product
            for row in splits.split(each.photos, each.features, validation_share=0.3, held_out=()).validation
        }
        for each in (drawn, backwards, drawn.take(np.arange(45)))
    ]
    assert found[0] == found[1]
    assert found[2] == found[0] & {str(number) for number in range(45)}


def test_a_held_out_product_is_in_no_part_nor_is_its_thumbnail(doubled: Material) -> None:
    """Both photos of the product are held out, and other variants of its group with them."""
    kin = replace(doubled, photos=(*doubled.photos[:-1], replace(doubled.photos[-1], group="7", product="x")))
    parts = splits.split(kin.photos, kin.features, validation_share=0.3, held_out={"7", "8"})
    assert {kin.photos[row].name for row in parts.held_out} == {
        *("drawn/7.jpg", "drawn/8.jpg", "thumbnails/7.jpg", "thumbnails/8.jpg", "thumbnails/89.jpg")
    }
    seen = {kin.photos[row].product for row in (*parts.train, *parts.validation)}
    assert not seen & {"7", "8", "x"}


def test_near_duplicates_of_what_must_not_be_seen_are_left_out(drawn: Material) -> None:
    """Another listing of a held-out product's photo is not trained on."""
    features = drawn.features.clone()
    features[40] = features[7] * 2
    parts = splits.split(drawn.photos, features, validation_share=0.1, held_out={"7"})
    assert parts.dropped.tolist() == [40]
    assert 40 not in {*parts.train, *parts.validation}


def test_ids_of_other_products_are_refused(drawn: Material) -> None:
    """A file of ids that no catalogue has would hold nothing out without a word."""
    with pytest.raises(InvalidArgument, match="no catalogue has any of these 2 products"):
        splits.split(drawn.photos, drawn.features, validation_share=0.1, held_out={"a", "b"})


def test_too_few_photos_are_refused(drawn: Material) -> None:
    """Nothing can be trained on one product."""
    with pytest.raises(InvalidArgument, match="too few photos"):
        splits.split(drawn.photos[:1], drawn.features[:1], validation_share=0.1, held_out=())


def test_split_files_are_the_same_every_time(photos: list[Photo], tmp_path: Path) -> None:
    """Three files share no product and have all; they are read as they were written."""
    first = splits.write(photos, tmp_path / "a", validation_share=0.1, test_share=0.35)
    again = splits.write(photos[::-1], tmp_path / "b", validation_share=0.1, test_share=0.35)
    parts = [splits.read_ids(path, field="held_out") for path in first]
    assert [path.name for path in first] == ["train.txt", "validation.txt", "test.txt"]
    assert parts == [splits.read_ids(path, field="held_out") for path in again]
    assert sorted(id_ for part in parts for id_ in part) == sorted(photo.product for photo in photos)
    assert 20 <= len(parts[2]) <= 45


@pytest.mark.parametrize("shares", [(0.0, 0.3), (0.5, 0.5), (0.1, -1.0)])
def test_shares_that_leave_nothing_are_refused(
    photos: list[Photo], tmp_path: Path, shares: tuple[float, float]
) -> None:
    """Each part must get something."""
    with pytest.raises(InvalidArgument, match="shares above 0"):
        splits.write(photos, tmp_path, validation_share=shares[0], test_share=shares[1])


def test_ids_are_read_line_by_line(tmp_path: Path) -> None:
    """An id may have blanks within; blanks around it, empty lines and an editor's mark are none of it."""
    (tmp_path / "ids.txt").write_bytes("\ufeff1001\r\n\r\n  shoe no 7 \n1001\n".encode())
    assert splits.read_ids(tmp_path / "ids.txt", field="products") == {"1001", "shoe no 7"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"\n \n", "names no product"), (b"\xff\xfe1", "no text in UTF-8"), (None, "cannot be read")],
)
def test_a_file_without_ids_is_a_mistake(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """Nobody means an empty list; the option that named the file is told."""
    if content is not None:
        (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        splits.read_ids(tmp_path / "ids.txt", field="held_out")
    assert caught.value.field == "held_out"


def test_shares_are_even() -> None:
    """Hashes fill [0, 1) evenly, and another purpose mixes them anew."""
    shares = torch.tensor([[splits.share_of(purpose, str(n)) for n in range(2000)] for purpose in "ab"])
    assert shares.min() >= 0
    assert shares.max() < 1
    assert (shares.mean(dim=1) - 0.5).abs().max() < 0.03
    assert abs(float(torch.corrcoef(shares)[0, 1])) < 0.1
