"""How long work shows on stderr how far it is: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vitrine.cli import output

if TYPE_CHECKING:
    from services.embedder.weights import Step

PLAIN_LINE_EVERY_S = 5.0

Advance = Callable[[int], None]


@contextmanager
def steps() -> Iterator[Callable[[Step], None]]:
    """Takes what is being done of each part: a bar a part, or a line for each thing that is begun."""
    if not output.err().is_terminal:
        yield _begun()
        return
    from rich import progress

    bars: dict[str, Any] = {}
    with progress.Progress(
        progress.TextColumn("{task.fields[part]:<12}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeRemainingColumn(),
        console=output.err(),
    ) as shown:

        def show(step: Step) -> None:
            if step.model not in bars:
                bars[step.model] = shown.add_task("", total=1.0, part=step.model)
            shown.update(bars[step.model], completed=step.share, description=step.doing)

        yield show


@contextmanager
def stages() -> Iterator[Callable[[str, int], Advance]]:
    """Takes the name of a stage and how many things it has: a bar a stage, or a line now and then."""
    if not output.err().is_terminal:
        yield _now_and_then
        return
    from rich import progress

    with progress.Progress(
        progress.TextColumn("{task.description:<14}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=output.err(),
    ) as shown:

        def begin(what: str, total: int) -> Advance:
            task = shown.add_task(what, total=total)
            return lambda done: shown.advance(task, done)

        yield begin


def _begun() -> Callable[[Step], None]:
    last: dict[str, str] = {}

    def show(step: Step) -> None:
        if last.get(step.model) != step.doing:
            last[step.model] = step.doing
            output.say(f"{step.model}: {step.doing}")

    return show


def _now_and_then(what: str, total: int) -> Advance:
    done = 0
    last_s = time.monotonic()

    def advance(more: int) -> None:
        nonlocal done, last_s
        done += more
        if done == total or time.monotonic() - last_s >= PLAIN_LINE_EVERY_S:
            last_s = time.monotonic()
            output.say(f"{what}: {done:,} of {total:,}")

    return advance
