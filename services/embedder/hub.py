"""Checkpoints from the model hub that open_clip's tags point to.

The hub's own client tells what a repository holds. The bytes are streamed here, because that client begins
again where a download broke off, and does not compare the sha256 that the hub publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
import huggingface_hub
from huggingface_hub import HfApi, RepoFile, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.mesh.registries import DIGEST_MISMATCH, sha256

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
# A connection that breaks is tried anew as long as each attempt brought something.
ATTEMPTS = 5

# What a checkpoint of open_clip is called, the safest first.
FILES: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

_PART = ".part"

Advance = Callable[[float], None]


def fetch_checkpoint(architecture: str, tag: str, directory: Path, advance: Advance) -> Path:
    """The checkpoint of an open_clip tag in `directory`, whole; see `download`.

    Raises InvalidArgument (field `clip`) for a tag that open_clip does not know or that is not on the hub,
    Unavailable within seconds where the hub is out of reach.
    """
    _require_hub()
    # Importing open_clip takes many seconds, which only those who reach the hub should pay.
    import open_clip  # noqa: PLC0415

    source = open_clip.get_pretrained_cfg(architecture, tag)
    repository = str(source.get("hf_hub", "")).strip("/")
    if not repository:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise InvalidArgument("clip", f"{architecture}:{tag} has no weights on the hub; known tags: {known}")
    return download(repository, FILES, directory, advance)


def download(repository: str, names: Sequence[str], directory: Path, advance: Advance) -> Path:
    """The first of the files `names` that a repository holds, in `directory`.

    It goes on where an earlier call broke off, even a killed one; `advance` is told the share that is there.
    Raises InvalidArgument (field `clip`) where there is no such file, Unavailable where the hub does not
    answer or breaks off, FailedPrecondition (reason DIGEST_MISMATCH) where it gives other bytes than it
    publishes the sha256 of.
    """
    file, digest = _published(repository, names)
    target = directory / file.path
    if target.is_file() and sha256(target) == digest:
        return target
    directory.mkdir(parents=True, exist_ok=True)
    # Named for what it is a part of: what the hub has replaced meanwhile is not gone on with.
    part = directory / f"{digest}{_PART}"
    url = f"{constants.ENDPOINT}/{repository}/resolve/{constants.DEFAULT_REVISION}/{file.path}"
    _fetch(url, part, file.size, advance)
    found = sha256(part)
    if found != digest:
        part.unlink()
        raise FailedPrecondition(
            f"{repository}/{file.path}: sha256 is {found}, expected {digest}", reason=DIGEST_MISMATCH
        )
    part.replace(target)
    return target


def has_begun(directory: Path) -> bool:
    """Whether part of a download lies in `directory`."""
    return any(part.stat().st_size for part in directory.glob(f"*{_PART}"))


def _published(repository: str, names: Sequence[str]) -> tuple[RepoFile, str]:
    """What the repository says of the first of `names`, and its sha256."""
    try:
        found = HfApi(endpoint=constants.ENDPOINT).get_paths_info(repository, list(names))
    except RepositoryNotFoundError as error:
        raise InvalidArgument("clip", f"the hub has no repository {repository} for you") from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise Unavailable(f"{repository}: {error}") from error
    files = {each.path: each for each in found if isinstance(each, RepoFile)}
    file = next((files[name] for name in names if name in files), None)
    if file is None or file.lfs is None:
        raise InvalidArgument("clip", f"{repository} holds no open_clip checkpoint")
    return file, file.lfs.sha256


def _fetch(url: str, part: Path, size_bytes: int, advance: Advance) -> None:
    for _ in range(ATTEMPTS):
        before = _size(part)
        complaint = "the connection ended early"
        try:
            _go_on(url, part, size_bytes, advance)
        except httpx.HTTPError as error:
            complaint = str(error)
        if _size(part) >= size_bytes:
            return
        if _size(part) <= before:
            break
    raise Unavailable(f"{url}: {complaint}")


def _go_on(url: str, part: Path, size_bytes: int, advance: Advance) -> None:
    start = _size(part)
    if start >= size_bytes:
        return
    # No compression: a range is one of the file's bytes.
    headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    if token := huggingface_hub.get_token():
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        response.raise_for_status()
        done = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        # Unbuffered, so that a killed process has what it has received.
        with part.open("ab" if done else "wb", buffering=0) as out:
            for chunk in response.iter_raw():
                out.write(chunk)
                done += len(chunk)
                advance(min(done / size_bytes, 1.0))
                if done > size_bytes:
                    return


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _require_hub() -> None:
    """Asks once, through the proxies the hub's own client uses, which itself retries for half a minute."""
    try:
        httpx.head(constants.ENDPOINT, timeout=CONNECT_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise Unavailable(f"the model hub is out of reach: {error}") from error
