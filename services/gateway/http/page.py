"""The page and its parts, as they lie in `static`."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from starlette.datastructures import URL, Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"

# What else lies there is not served. The system's own table of types differs from machine to machine.
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# Compressed already.
_PICTURES = frozenset({".png"})
# Less fits into the first packet of an answer anyway.
MIN_GZIP_BYTES = 1024
# Far more files than the page has.
_MAX_FILES = 256
_ZERO = re.compile(r"q=0(\.0{0,3})?")


@dataclass(frozen=True)
class _File:
    """A file of the page: its content, that compressed where this saves something, and its etag."""

    content: bytes
    zipped: bytes | None
    digest: str


class Page(StaticFiles):
    """Static files that a browser asks after each time: their names stay when their content changes.

    They are held in memory, and texts compressed once (RFC 9110, 8.4.1.3). Starlette's middleware would
    compress each answer anew, and give both forms of a file one etag.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, html=True)
        self._directory = directory.resolve()

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The answer to a request for `path`; a folder without its last slash is redirected to that with it.

        Starlette writes a whole address there, with the scheme and the host that reached this process, which
        are not those that a browser sees through a proxy. A path alone will do (RFC 9110, 10.2.2).
        """
        response = await super().get_response(path, scope)
        if isinstance(response, RedirectResponse):
            address = URL(scope=scope).replace(scheme="", netloc="", path=f"/{quote(path)}/")
            response.headers["location"] = str(address)
        return response

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or 304 when the browser has it already; raises HTTPException for one not to be served."""
        path = Path(full_path)
        kind = TYPES.get(path.suffix)
        if kind is None or any(part.startswith(".") for part in path.relative_to(self._directory).parts):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        asked = Headers(scope=scope)
        file = _read(path, stat_result.st_mtime_ns, stat_result.st_size)
        content = file.content
        headers = {"cache-control": "no-cache", "etag": f'"{file.digest}"'}
        if file.zipped is not None:
            headers["vary"] = "accept-encoding"
            if _takes_gzip(asked.get("accept-encoding", "")):
                headers |= {"content-encoding": "gzip", "etag": f'"{file.digest}-gzip"'}
                content = file.zipped
        response = Response(content, status_code, headers, media_type=kind)
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


@lru_cache(_MAX_FILES)
def _read(path: Path, _mtime_ns: int, _size_bytes: int) -> _File:
    """The file; it is read anew when its time or size has changed."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    if path.suffix in _PICTURES or len(content) < MIN_GZIP_BYTES:
        return _File(content, None, digest)
    return _File(content, gzip.compress(content, mtime=0), digest)


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether a browser that sends this header takes gzip; what it gives the weight 0 it does not take.

    Source: RFC 9110, 12.5.3.
    """
    weights: dict[str, bool] = {}
    for choice in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in choice.split(";"))
        weights[coding] = not any(_ZERO.fullmatch(parameter) for parameter in parameters)
    return weights.get("gzip", weights.get("*", False))
