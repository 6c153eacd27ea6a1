"""A run's losses and score as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from services.trainer.runs import Epoch

_SIZE_INCHES = (8.0, 3.2)
_DPI = 120


def write(history: Sequence[Epoch], best: Epoch, title: str, path: Path) -> None:
    """Writes a picture: both losses on the left, the validation score on the right, the best epoch marked.

    The suffix of `path` says of what kind.
    """
    epochs = [each.epoch for each in history]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        losses, scores = figure.subplots(1, 2)
        losses.plot(epochs, [each.train_loss for each in history], label="training", color="#7a7a7a")
        losses.plot(epochs, [each.validation_loss for each in history], label="validation", color="#2f6fde")
        losses.set_title(f"{title}: loss")
        losses.legend(frameon=False)
        scores.plot(epochs, [each.score for each in history], color="#2f6fde")
        scores.plot([best.epoch], [best.score], "o", color="#d9480f")
        scores.set_title(f"score on validation, best in epoch {best.epoch}")
        for axes in (losses, scores):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.2)
        FigureCanvasAgg(figure)
        figure.savefig(path)
