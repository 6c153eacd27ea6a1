"""Model cards, in Markdown (Mitchell et al. 2019, "Model Cards for Model Reporting").

What a model is, what it was trained on and what it is good for lies in `cards`, one file a model. What the
trainer wrote of a head lies beside the head, and comes last.
"""

from __future__ import annotations

from pathlib import Path

TRAINED = "model_card.md"
MAX_BYTES = 16 << 10

_MAX_TRAINING_BYTES = MAX_BYTES // 2
_CARDS = Path(__file__).parent / "cards"


def of(model: str) -> str:
    """The card of a model of this package, by the name in its recipe."""
    return (_CARDS / f"{model}.md").read_text()


def of_head(model: str, head: Path, digest: str) -> str:
    """As `of`, with what is known of how the head of that file and sha256 was trained."""
    return f"{of(model)}\n{_training(head, digest)}"


def of_checkpoint(architecture: str) -> str:
    """The card of a checkpoint of open_clip's, of which the architecture is known."""
    return of("open_clip").replace("{architecture}", architecture)


def _training(head: Path, digest: str) -> str:
    path = head.with_name(TRAINED)
    written = path.read_text() if path.is_file() else ""
    # A head may have been replaced without its card.
    _, _, rest = written.partition(f"\n## {head.name}\n") if digest in written else ("", "", "")
    section = rest.partition("\n## ")[0].strip()
    if not section or len(section.encode()) > _MAX_TRAINING_BYTES:
        section = "Nothing is known of that."
    return f"## How it was trained\n\nThe head is `{head.name}`, `{digest[:12]}`.\n\n{section}\n"
