from __future__ import annotations

import pytest

from services.mesh import profiles
from services.mesh.profiles import VISUAL


@pytest.mark.parametrize(
    "spaces", [["resnet50"], ["resnet50", "clip"], ["resnet50", "clip", "triplet", "colour", "new"]]
)
def test_the_spaces_of_a_profile_share_one_whole(spaces: list[str]) -> None:
    """Whichever spaces there are, their weights add up to 1; other terms weigh the same beside them."""
    for weights in profiles.profiles(spaces).values():
        visual = {name: weight for name, weight in weights.items() if name.startswith(VISUAL)}
        assert sum(visual.values()) == pytest.approx(1)
        assert {name.removeprefix(VISUAL) for name in visual} <= set(spaces)


def test_the_default_profile_comes_first_and_every_space_is_one() -> None:
    """A search without a profile looks for what is similar; each space can be searched alone."""
    found = profiles.profiles(["clip", "colour"])
    assert list(found) == [profiles.DEFAULT, "same_style", "clip", "colour"]
    assert found["clip"] == {"visual.clip": 1.0}


def test_the_same_style_comes_in_any_colour() -> None:
    """The space of colours and what is known of colour have no part in it, a colour that is asked for has."""
    weights = profiles.profiles(["resnet50", "colour"])["same_style"]
    assert [name for name in weights if "colour" in name] == ["said.colour"]


def test_a_profile_without_any_of_its_spaces_is_left_out() -> None:
    """Nothing but colours tells no style."""
    assert list(profiles.profiles(["colour"])) == [profiles.DEFAULT, "colour"]
