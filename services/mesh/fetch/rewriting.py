"""Addresses copied out of Google Drive and Cloudinary -> those that give a picture of a usable size.

Sources: Google's forms of sharing links, which lead to a page about the file; Cloudinary's "Transformation
URL API reference", whose delivery addresses take the wanted size as a part of their path.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

# More than any model and any page looks at, a fraction of what cameras make.
MAX_SIDE = 1280

_DRIVE_HOSTS = frozenset({"drive.google.com", "docs.google.com"})
_DRIVE_ID = re.compile(r"[A-Za-z0-9_-]{10,128}")
_DRIVE_FILE = re.compile(r"/(?:a/[^/]+/)?file/(?:u/\d+/)?d/([^/]+)(?:/.*)?")
_DRIVE_BY_QUERY = frozenset({"/open", "/uc", "/thumbnail"})

_CLOUDINARY_HOST = re.compile(r"(?:res|[a-z0-9-]+-res)\.cloudinary\.com")
_CLOUDINARY_PATH = re.compile(r"(?P<before>/(?:[^/]+/)?image/(?:upload|private|fetch)/)(?P<after>.+)")
# `w_300`, `c_fill,g_face` and the like. A folder called so is taken for one: its pictures stay as they are.
_TRANSFORMATION = re.compile(r"(?:[a-z]{1,3}_[^,/]+)(?:,[a-z]{1,3}_[^,/]+)*")
_SIGNATURE = re.compile(r"s--[A-Za-z0-9_-]+--")
_BOUNDED = f"c_limit,w_{MAX_SIDE},h_{MAX_SIDE},q_auto,f_jpg"


def alternatives(uri: str) -> tuple[str, ...]:
    """The addresses to try for `uri`, best first; that itself alone where nothing is known to be better.

    A link to a file of Google Drive becomes the one that downloads it. A delivery address of Cloudinary is
    first asked for a JPEG of at most 1,280 pixels a side, unless it states a transformation or is signed,
    and then as it was given, since an account may refuse transformations that it did not foresee.
    """
    try:
        parts = urlsplit(uri)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return (uri,)
    if parts.scheme not in {"http", "https"} or parts.netloc.lower() != host:
        return (uri,)
    if host in _DRIVE_HOSTS:
        found = _drive(parts.path, parts.query)
        return (found or uri,)
    if _CLOUDINARY_HOST.fullmatch(host) and (path := _bounded(parts.path)):
        return (urlunsplit(parts._replace(path=path, fragment="")), uri)
    return (uri,)


def _drive(path: str, query: str) -> str | None:
    """Where a file of Drive is downloaded; None for an address of anything else."""
    given = parse_qs(query)
    file = _DRIVE_FILE.fullmatch(path)
    if file:
        file_id = file[1]
    elif path in _DRIVE_BY_QUERY:
        file_id = given.get("id", [""])[0]
    else:
        return None
    if not _DRIVE_ID.fullmatch(file_id):
        return None
    # Files shared before 2021 may need the key that their link carries.
    keys = {"resourcekey": given["resourcekey"][0]} if "resourcekey" in given else {}
    wanted = urlencode({"export": "download", "id": file_id, **keys})
    return f"https://drive.google.com/uc?{wanted}"


def _bounded(path: str) -> str | None:
    """The path that asks for a bounded size; None where it states one, or cannot be changed."""
    found = _CLOUDINARY_PATH.fullmatch(path)
    if found is None:
        return None
    first, _, rest = found["after"].partition("/")
    if _SIGNATURE.fullmatch(first) or (rest and _TRANSFORMATION.fullmatch(first)):
        return None
    return f"{found['before']}{_BOUNDED}/{found['after']}"
