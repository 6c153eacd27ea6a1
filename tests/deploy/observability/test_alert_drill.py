from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.observability import rules
from tests.deploy.observability.prometheus import Prometheus, prometheus
from tests.deploy.observability.scenes import Scene
from tests.meshes import eventually

pytestmark = [pytest.mark.integration, pytest.mark.faults]

ALERT, MEASURED = "VitrineShardWithoutReplica", "vitrine:shard_replicas_caught_up:min"
# A minute of waiting becomes 2 seconds, and a window of 5 minutes 10.
TIMES_SHORTER = 30


def _fires(watching: Prometheus) -> dict[str, Any] | None:
    """The alert about the shard that stands still, once it fires."""
    return next((each for each in watching.active(ALERT, "firing") if each["labels"]["shard"] == "1"), None)


def _has_been(watching: Prometheus, **labels: str) -> bool:
    """Whether the alert was ever so: Prometheus records what becomes of it."""
    matched = "".join(f', {name}="{value}"' for name, value in labels.items())
    return bool(watching.query(f'max_over_time(ALERTS{{alertname="{ALERT}"{matched}}}[1h])'))


def test_a_shard_that_stands_still_is_told_of_until_it_goes_on(scene: Scene, tmp_path: Path) -> None:
    """The alert waits, fires for that shard and for no other, and is over when the shard is back."""
    documents = [
        rules.evaluated_each_second(document, times_shorter=TIMES_SHORTER) for document in rules.documents()
    ]
    with prometheus(tmp_path / "drill", scene.targets, documents) as watching:
        eventually(
            lambda: len(watching.query(f"{MEASURED} > 0")) == 2 and not watching.active(ALERT),
            what="both shards are seen",
        )
        with scene.mesh.hanging("vectorsearch-1"):
            eventually(lambda: _fires(watching) is not None, what="the alert fires")
            fired = _fires(watching)
        assert _has_been(watching, alertstate="pending", shard="1")
        assert fired is not None
        assert fired["labels"]["severity"] == "critical"
        assert "shard 1" in fired["annotations"]["description"]
        eventually(lambda: not watching.active(ALERT), what="the alert is over")
        # A machine that stands still may keep the gateway from the other one for a moment too.
        was_away = watching.query(f'min_over_time({MEASURED}{{shard="0"}}[1h]) < 1')
        assert was_away or not _has_been(watching, shard="0")
