from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.fetch.rewriting import alternatives

FILE = "1aBcD_efGhIjKlMnOpQrStUvWxYz-0123"
DOWNLOAD = f"https://drive.google.com/uc?export=download&id={FILE}"
CLOUD = "https://res.cloudinary.com/demo/image"
BOUNDED = "c_limit,w_1280,h_1280,q_auto,f_jpg"


@pytest.mark.parametrize(
    "link",
    [
        f"https://drive.google.com/file/d/{FILE}/view?usp=sharing",
        f"https://drive.google.com/file/d/{FILE}/preview",
        f"https://drive.google.com/file/d/{FILE}",
        f"https://drive.google.com/file/u/1/d/{FILE}/edit",
        f"https://drive.google.com/a/shop.example/file/d/{FILE}/view",
        f"https://drive.google.com/open?id={FILE}",
        f"http://drive.google.com/open?usp=drive_fs&id={FILE}",
        f"https://drive.google.com/uc?id={FILE}",
        f"https://drive.google.com/uc?export=view&id={FILE}",
        f"https://docs.google.com/uc?id={FILE}",
        f"https://drive.google.com/thumbnail?id={FILE}&sz=w100",
        f"https://DRIVE.google.com/file/d/{FILE}/view",
        DOWNLOAD,
    ],
)
def test_links_to_a_file_of_drive_become_its_download(link: str) -> None:
    """Every form in which Drive lets people share a file is asked for the file itself."""
    assert alternatives(link) == (DOWNLOAD,)


def test_the_key_of_an_old_link_is_kept() -> None:
    """A resource key goes along, since the file is not given without."""
    link = f"https://drive.google.com/file/d/{FILE}/view?resourcekey=0-abc&usp=sharing"
    assert alternatives(link) == (f"{DOWNLOAD}&resourcekey=0-abc",)


@pytest.mark.parametrize(
    ("given_path", "path"),
    [
        ("upload/shoe.png", f"upload/{BOUNDED}/shoe.png"),
        ("upload/v1312461204/shoe.png", f"upload/{BOUNDED}/v1312461204/shoe.png"),
        ("upload/shop/shoes/shoe", f"upload/{BOUNDED}/shop/shoes/shoe"),
        ("upload/w_300", f"upload/{BOUNDED}/w_300"),
        ("private/v1/a.jpg", f"private/{BOUNDED}/v1/a.jpg"),
        ("fetch/https://shop.example/a.jpg", f"fetch/{BOUNDED}/https://shop.example/a.jpg"),
        ("upload/a.jpg?_a=B", f"upload/{BOUNDED}/a.jpg?_a=B"),
    ],
)
def test_cloudinary_is_asked_for_a_bounded_size_first(given_path: str, path: str) -> None:
    """A delivery address without a transformation gets one, and stays as the second choice."""
    assert alternatives(f"{CLOUD}/{given_path}") == (f"{CLOUD}/{path}", f"{CLOUD}/{given_path}")


def test_private_hosts_of_cloudinary_are_known() -> None:
    """A shop may have a host of its own there, without its name in the path."""
    first, _ = alternatives("https://shop-res.cloudinary.com/image/upload/a.jpg")
    assert first == f"https://shop-res.cloudinary.com/image/upload/{BOUNDED}/a.jpg"


@pytest.mark.parametrize(
    "uri",
    [
        f"{CLOUD}/upload/w_300/shoe.png",
        f"{CLOUD}/upload/c_fill,g_face,w_300/v1/shoe.png",
        f"{CLOUD}/upload/t_thumb/shoe.png",
        f"{CLOUD}/upload/s--Ab12_-xY--/v1/shoe.png",
        "https://res.cloudinary.com/demo/video/upload/a.mp4",
        "https://res.cloudinary.com/demo/raw/upload/a.zip",
        "https://res.cloudinary.com.evil.example/demo/image/upload/a.jpg",
        "https://res.cloudinary.com@evil.example/demo/image/upload/a.jpg",
        "https://res.cloudinary.com:8443/demo/image/upload/a.jpg",
        f"https://drive.google.com/drive/folders/{FILE}",
        "https://drive.google.com/file/d/short/view",
        "https://drive.google.com/open?id=a%2Fb",
        f"https://drive.google.com.evil.example/open?id={FILE}",
        "https://shop.example/image/upload/a.jpg",
        "ftp://res.cloudinary.com/demo/image/upload/a.jpg",
        "https://[",
        "",
    ],
)
def test_other_addresses_stay_as_they_are(uri: str) -> None:
    """What states a transformation, is signed, is no picture or is elsewhere is not touched."""
    assert alternatives(uri) == (uri,)


@given(st.text())
def test_any_text_has_alternatives(uri: str) -> None:
    """Whatever is given, its last choice is usable as an address at least as well as that itself."""
    assert uri in alternatives(uri) or alternatives(uri)[-1].startswith("https://drive.google.com/uc?")


@given(st.lists(st.sampled_from(["image", "upload", "v1", "a_b", "s--x--", "a.jpg", ""]), max_size=6))
def test_rewriting_ends(segments: list[str]) -> None:
    """The best choice is not rewritten again, and no choice leaves the host."""
    best = alternatives("https://res.cloudinary.com/" + "/".join(segments))[0]
    assert alternatives(best) == (best,) or len(alternatives(best)) == 1
    assert best.startswith("https://res.cloudinary.com/")
