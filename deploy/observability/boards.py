"""All dashboards, and the files of the chart that they are written to."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.observability import embedder, overview, ranking, vectorsearch, writes
from deploy.observability.panels import Board

BOARDS = (overview.BOARD, embedder.BOARD, vectorsearch.BOARD, ranking.BOARD, writes.BOARD)
FOLDER = Path(__file__).parents[1] / "helm" / "vitrine" / "dashboards"


def path(board: Board) -> Path:
    """Where a dashboard lies in the chart."""
    return FOLDER / f"{board.uid.removeprefix('vitrine-')}.json"


def text(board: Board) -> str:
    """A dashboard as Grafana reads it."""
    return json.dumps(board.dashboard(), cls=JSONEncoder, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
