"""The embedder's autoscaler under ten times as many arrivals, simulated from measured figures.

python -m benchmarks.autoscaling [CATALOG_DIR] [--quick] [--measured JSON] [--results DIR] [--picture PNG]

docs/autoscaling.md tells the method.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.autoscaling import choice, measure, picture, traffic, validation
from benchmarks.autoscaling.choice import Row, Scenario, Setting, Task
from benchmarks.autoscaling.figures import ClusterFigures, PodFigures, assumed_card, pod_of
from benchmarks.autoscaling.plan import FULL, QUICK, Plan
from benchmarks.report import RESULTS, progress, publish
from services.mesh.models_dir import models_dir_default

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "autoscaling.png"

# Before the surge comes this share of what one pod can do, and then so many times as much.
BASE_SHARE = 0.4
FACTOR = 10.0
# The gateway's embed_timeout_s, and a short one.
DEADLINES_S = (10.0, 1.0)


@dataclass(frozen=True, slots=True)
class Card:
    """What is assumed of a pod with a card."""

    pass_s: float
    image_s: float
    start_s: float


def main() -> None:
    """Run the benchmark and print its JSON."""
    parser = argparse.ArgumentParser(description="The embedder's autoscaler under a surge, simulated.")
    parser.add_argument(
        "catalog_dir", type=Path, nargs="?", help="a folder with images/; without it the demo's"
    )
    parser.add_argument("--models-dir", type=Path, default=models_dir_default())
    parser.add_argument(
        "--measured", type=Path, help="an earlier result: simulate its figures, measure nothing"
    )
    parser.add_argument("--card-pass-s", type=float, default=0.012, help="assumed: a card's pass")
    parser.add_argument("--card-image-s", type=float, default=0.0025, help="assumed: and for each image")
    parser.add_argument("--card-start-s", type=float, default=30.0, help="assumed: until SERVING on a card")
    parser.add_argument(
        "--quick", action="store_true", help="every part once and short; no figure to rely on"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where the picture is written")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    card = Card(arguments.card_pass_s, arguments.card_image_s, arguments.card_start_s)
    if arguments.measured:
        measured = json.loads(arguments.measured.read_text())["measured"]
    else:
        with tempfile.TemporaryDirectory() as folder:
            measured = asyncio.run(_measure(arguments.catalog_dir, arguments.models_dir, Path(folder), plan))
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as executor:
        figures = _simulate(pod_of(measured["pod"]), card, plan, executor, arguments.picture)
    publish(
        "autoscaling", {"quick": plan.quick, "measured": measured, **figures}, {}, directory=arguments.results
    )


async def _measure(catalog: Path | None, models_dir: Path, folder: Path, plan: Plan) -> dict[str, object]:
    requests, mean_bytes = measure.photo_requests(catalog, plan.photos)
    started = await measure.starts(models_dir, folder, plan.starts)
    async with measure.timed_embedder(models_dir, folder) as (server, record):
        found = await measure.pod(server, record, requests, plan, started)
        points = [
            await measure.point(server, record, requests, found.pod, share * found.pod.capacity, plan)
            for share in plan.points
        ]
    return {
        "pod": asdict(found.pod),
        "capacity_images_per_s": round(found.pod.capacity, 1),
        "photo_mean_bytes": mean_bytes,
        "photo_longest_side_px": measure.LONGEST_SIDE_PX,
        **found.details,
        "validation_deadline_s": plan.point_deadline_s,
        "validation": validation.compare(points, found.pod, deadline_s=plan.point_deadline_s),
    }


def _simulate(
    pod: PodFigures, card: Card, plan: Plan, executor: Executor, picture_path: Path
) -> Mapping[str, object]:
    cluster = ClusterFigures()
    base = BASE_SHARE * pod.capacity
    step = traffic.step(base, FACTOR, hold_s=plan.hold_s)
    steps = [Scenario(step, deadline_s, plan.seeds) for deadline_s in DEADLINES_S]
    ramp = Scenario(traffic.ramp(base, FACTOR, rise_s=plan.rise_s), DEADLINES_S[0])
    waves = Scenario(traffic.waves(base, FACTOR, crests=2, hold_s=plan.crest_s), DEADLINES_S[0])

    def compare(settings: Sequence[Setting], *scenarios: Scenario) -> list[Row]:
        progress(f"{len(settings)} settings, {', '.join(each.name for each in scenarios)}")
        return choice.compare(settings, pod, cluster, scenarios, executor)

    targets = compare(choice.targets()[: plan.targets], *steps, ramp)
    chosen = choice.best(targets).setting
    ups = compare(choice.ups(chosen), *steps)
    chosen = replace(chosen, up=choice.best(ups).setting.up)
    downs = compare(choice.downs(chosen), waves)
    chosen = replace(chosen, down=choice.best(downs).setting.down)
    minima = compare(choice.minima(chosen), *steps)
    progress("the picture")
    crest = traffic.waves(base, FACTOR, crests=1, hold_s=plan.hold_s)
    course, service = choice.run(Task(chosen, pod, cluster, crest, DEADLINES_S[0], seed=1))
    title = f"{FACTOR:g} times as many at once: {_told(chosen)}"
    picture.draw(picture_path, course, crest, cluster, capacity=pod.capacity, title=title)
    progress("a card, assumed")
    card_pod = assumed_card(card.pass_s, card.image_s, card.start_s, pod.decode_s)
    card_step = traffic.step(BASE_SHARE * card_pod.capacity, FACTOR, hold_s=plan.card_hold_s)
    cards = choice.compare(
        choice.minima(chosen)[1:], card_pod, cluster, [Scenario(card_step, DEADLINES_S[0])], executor
    )
    return {
        "assumed": asdict(cluster) | {"base_share": BASE_SHARE, "factor": FACTOR, "deadlines_s": DEADLINES_S},
        "chosen": asdict(chosen),
        "targets": [row.published for row in targets],
        "ups": [row.published for row in ups],
        "downs": [row.published for row in downs],
        "minima": [row.published for row in minima],
        "picture": asdict(service),
        "card_assumed": {
            **asdict(card),
            "capacity_images_per_s": round(card_pod.capacity, 1),
            "rows": [row.published for row in cards],
        },
    }


def _told(setting: Setting) -> str:
    return f"targets: queue {setting.queue}, busy {setting.busy}; at least {setting.min_replicas} pods"


if __name__ == "__main__":
    main()
