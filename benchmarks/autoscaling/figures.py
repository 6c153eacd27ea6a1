"""What the simulation is fed with: measured on this machine, and assumed of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodFigures:
    """One embedder: how fast it is, how long it takes to start, and its bounds.

    `alone_s` and `shared_s` are the seconds of a forward pass by its number of images, from 1 on without a
    gap: with no other pass beside it, and with all `passes` busy. A pass takes its seconds times one of
    `factors`, each as likely as the others. `listen_s` and `start_s` run from the process's start until its
    metrics can be read and until its health is SERVING. `overhead_s` is what a call takes beyond decoding,
    waiting and passes.
    """

    alone_s: tuple[float, ...]
    shared_s: tuple[float, ...]
    factors: tuple[float, ...]
    passes: int
    decode_s: float
    decode_threads: int
    overhead_s: float
    listen_s: float
    start_s: float
    max_items: int = 512
    max_calls: int = 256

    @property
    def pass_items(self) -> int:
        """The most images of a pass."""
        return len(self.shared_s)

    @property
    def capacity(self) -> float:
        """Images a second with every pass full and the decoding threads not in the way."""
        forward = self.passes * self.pass_items / self.shared_s[-1]
        return min(forward, self.decode_threads / self.decode_s) if self.decode_s else forward


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """What no machine without a cluster can tell, in seconds unless named otherwise.

    `schedule_s`: a pod's place, its image and its container. `probe_s`: the period of the readiness probe.
    `ageing_s`: until every caller's connections have aged and found the new pod. `adapter_s`: how old a
    scraped value is at least when the autoscaler has it. `pre_stop_s`: a pod that is deleted gets requests
    for so long. `gateways`: callers, each of which goes round the pods by itself. `rest_s`: what the rest of
    a search takes beside the embedder.
    """

    scrape_s: float = 15.0
    adapter_s: float = 1.0
    schedule_s: float = 15.0
    probe_s: float = 2.0
    ageing_s: float = 10.0
    pre_stop_s: float = 10.0
    gateways: int = 3
    rest_s: float = 0.05
    slo_s: float = 0.5
    slo_share: float = 0.99


# No card was measured: round figures of a mid-range card, to be replaced by `benchmarks/gpu.sh` and by
# options. The decoding time is this machine's.
def assumed_card(pass_s: float, image_s: float, start_s: float, decode_s: float) -> PodFigures:
    """A pod with a card, whose pass takes `pass_s` and `image_s` for each image.

    A second pass is staged while the first is computed, which the card does one after the other.
    """
    alone_s = tuple(pass_s + image_s * items for items in range(1, 257))
    return PodFigures(
        alone_s=alone_s,
        shared_s=tuple(2 * each for each in alone_s),
        factors=(1.0,),
        passes=2,
        decode_s=decode_s,
        decode_threads=16,
        overhead_s=0.002,
        listen_s=0.7 * start_s,
        start_s=start_s,
    )


def pod_of(document: Mapping[str, object]) -> PodFigures:
    """The figures back from their JSON; raises KeyError or TypeError where one is missing or too many."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    return PodFigures(**values)  # type: ignore[arg-type]  # What is wrong is raised.
