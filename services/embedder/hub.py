"""Checkpoints from the model hub that open_clip's tags point to."""

from __future__ import annotations

from pathlib import Path

import httpx
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from services.mesh.errors import InvalidArgument, Unavailable

CONNECT_TIMEOUT_S = 3.0

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def fetch_checkpoint(architecture: str, tag: str, directory: Path) -> Path:
    """The checkpoint of an open_clip tag in `directory`. An interrupted download goes on where it stopped.

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
    published = [name for name in _FILES if huggingface_hub.file_exists(repository, name)]
    if not published:
        raise InvalidArgument("clip", f"{repository} holds no open_clip checkpoint")
    try:
        return Path(huggingface_hub.hf_hub_download(repository, published[0], local_dir=directory))
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise Unavailable(f"{repository}: {error}") from error


def _require_hub() -> None:
    """Asks once, through the proxies the hub's own client uses, which itself retries for half a minute."""
    try:
        httpx.head(constants.ENDPOINT, timeout=CONNECT_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise Unavailable(f"the model hub is out of reach: {error}") from error
