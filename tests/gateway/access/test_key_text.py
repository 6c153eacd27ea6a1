from __future__ import annotations

import hashlib

import pytest

from services.gateway.access import key_text
from services.mesh import names


def test_a_key_names_its_id() -> None:
    """The id of a key is in its text, and makes a name."""
    made = key_text.new_key()
    assert key_text.id_in(made.text) == made.key_id
    assert names.parse_key(names.key_name(made.key_id), "name") == made.key_id


def test_what_is_kept_is_the_hash_of_the_whole_text() -> None:
    """The fingerprint is what `sha256sum` says of the key, so that one can be made by hand."""
    made = key_text.new_key()
    assert made.fingerprint == hashlib.sha256(made.text.encode()).digest()
    assert key_text.fingerprint(made.text) == made.fingerprint


def test_no_two_keys_are_the_same() -> None:
    """Keys differ in id and secret, and a secret has 256 bits."""
    made = [key_text.new_key() for _ in range(100)]
    assert len({each.key_id for each in made}) == len({each.text[-43:] for each in made}) == 100


def test_a_new_key_does_not_show() -> None:
    """The text of a key is not in its representation."""
    made = key_text.new_key()
    assert made.text not in repr(made)


@pytest.mark.parametrize(
    "text",
    ["", "vk_", "vk_abcdefgh", "vk_ABCDEFGH_" + "a" * 43, "vk_abcdefgh_" + "a" * 42, "vk_a/../b_" + "a" * 43],
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    """Text of another form is no key."""
    assert key_text.id_in(text) is None
