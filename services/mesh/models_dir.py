"""Where model weights, and what is prepared from them, lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def models_dir_default() -> Path:
    """`$VITRINE_MODELS_DIR`, or where programs of a user cache what they fetched."""
    return Path(os.environ.get("VITRINE_MODELS_DIR") or "~/.cache/vitrine/models").expanduser()
