from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.observability import rules
from tests.deploy.observability.prometheus import Prometheus, prometheus
from tests.deploy.observability.scenes import TIMEOUT_S, Scene
from tests.meshes import eventually

pytestmark = [pytest.mark.integration, pytest.mark.faults]

ALERT = "VitrineShardWithoutReplica"
# A minute of waiting becomes 2 seconds, and a window of 5 minutes 10.
TIMES_SHORTER = 30


def _seen_pending(watching: Prometheus) -> bool:
    """Whether the alert was pending before it fired: what Prometheus recorded of it says so."""
    return bool(watching.query(f'max_over_time(ALERTS{{alertname="{ALERT}", alertstate="pending"}}[1h])'))


def test_a_shard_that_stands_still_is_told_of_until_it_goes_on(scene: Scene, tmp_path: Path) -> None:
    """The alert waits, fires for that shard and for no other, and is over when the shard is back."""
    documents = [
        rules.evaluated_each_second(document, times_shorter=TIMES_SHORTER) for document in rules.documents()
    ]
    with prometheus(tmp_path / "drill", scene.targets, documents) as watching:
        eventually(
            lambda: len(watching.query("vitrine:shard_replicas_caught_up:min > 0")) == 2,
            timeout_s=TIMEOUT_S,
            what="both shards are seen",
        )
        assert watching.states(ALERT) == {}
        with scene.mesh.hanging("vectorsearch-1"):
            eventually(
                lambda: "firing" in watching.states(ALERT), timeout_s=TIMEOUT_S, what="the alert fires"
            )
            fired = watching.states(ALERT)["firing"]
        assert _seen_pending(watching)
        assert fired["labels"]["shard"] == "1"
        assert fired["labels"]["severity"] == "critical"
        assert "shard 1" in fired["annotations"]["description"]
        eventually(lambda: not watching.states(ALERT), timeout_s=TIMEOUT_S, what="the alert is over")
        assert not watching.query(f'max_over_time(ALERTS{{alertname="{ALERT}", shard="0"}}[1h])')
