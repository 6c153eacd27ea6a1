from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.mesh.errors import FailedPrecondition
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.lines import Lines
from vitrine.supervisor.child import Child, Policy, lines_of
from vitrine.supervisor.layout import Service

QUICK = Policy(poll_s=0.01, healthy_s=0.05, first_backoff_s=0.02, max_backoff_s=0.1, drain_s=TIMEOUT_S)

# Says that it is up, then does as it was told.
_SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SLEEPS}"


def _child(program: str, lines: Lines, policy: Policy = QUICK, **environment: str) -> Child:
    service = Service("dummy", (sys.executable, "-c", program), environment)

    async def is_ready() -> bool:
        return "up" in lines.of("dummy")

    return Child(service, is_ready, lines, policy)


async def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def test_a_child_that_dies_is_started_again() -> None:
    """Killed, it is back within the back-off, and ready again."""
    lines = Lines()
    child = _child(_SLEEPS, lines)
    kept = asyncio.create_task(child.keep())
    await asyncio.wait_for(child.ready.wait(), TIMEOUT_S)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await _until(lambda: child.restarts == 1 and child.ready.is_set())
    second = child.pid
    assert second not in (None, first)
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)
    assert child.pid is None
    assert _names(lines) == ["started", "ready", "died", "started", "ready"]


async def test_the_back_off_grows_until_the_child_is_well() -> None:
    """One that dies at once waits longer each time; one that stayed well for a while begins anew."""
    lines = Lines()
    program = "print('up', flush=True)"
    child = _child(
        program, lines, Policy(poll_s=0.001, healthy_s=600, first_backoff_s=0.01, max_backoff_s=0.05)
    )
    # Ready once, so that it is never given up.
    child._was_ready = True
    kept = asyncio.create_task(child.keep())
    await _until(lambda: _names(lines).count("died") >= 5)
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)
    delays = [event["restart_in_s"] for event in lines.events if event["event"] == "died"][:5]
    assert delays == [0.01, 0.02, 0.04, 0.05, 0.05]


async def test_a_child_that_stayed_well_is_restarted_quickly() -> None:
    """After `healthy_s` of being ready the back-off is forgotten."""
    lines = Lines()
    child = _child(_SLEEPS, lines)
    child._backoff.failures = 4
    kept = asyncio.create_task(child.keep())
    await _until(lambda: child.ready.is_set() and child._backoff.failures == 0)
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)


async def test_a_child_that_cannot_start_is_given_up_with_its_last_words() -> None:
    """A service that dies every time without ever being ready fails the mesh, and says why."""
    lines = Lines()
    child = _child("import sys; sys.exit('no such setting')", lines)
    with pytest.raises(FailedPrecondition, match=r"dummy does not start \(status 1\)[^$]*no such setting"):
        await asyncio.wait_for(child.keep(), TIMEOUT_S)
    assert _names(lines).count("started") == QUICK.max_failures


async def test_wrong_settings_are_not_tried_again() -> None:
    """A service that refuses its settings fails the mesh at once."""
    lines = Lines()
    child = _child("import sys; print('settings: no'); sys.exit(2)", lines)
    with pytest.raises(FailedPrecondition, match=r"settings: no"):
        await asyncio.wait_for(child.keep(), TIMEOUT_S)
    assert _names(lines).count("started") == 1


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    """Draining has an end."""
    lines = Lines()
    child = _child(_STUBBORN, lines, replace(QUICK, drain_s=0.1))
    kept = asyncio.create_task(child.keep())
    await asyncio.wait_for(child.ready.wait(), TIMEOUT_S)
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)
    assert _names(lines)[-1] == "killed"
    assert child.pid is None


async def test_a_child_gets_its_own_environment_and_no_terminal() -> None:
    """What a service is told is in its environment; Ctrl-C does not reach it, since its group is its own."""
    lines = Lines()
    program = (
        "import os, sys; print(os.environ['ANSWER'], os.getpgid(0) == os.getpid(), sys.stdin.read() == '')"
    )
    child = _child(program, lines, ANSWER="42")
    kept = asyncio.create_task(child.keep())
    await _until(lambda: lines.of("dummy"))
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)
    assert lines.of("dummy")[0] == "42 True True"


async def test_what_a_child_started_ends_with_it() -> None:
    """A process that a killed service had started is not left behind."""
    lines = Lines()
    program = (
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(other.pid, flush=True); print('up', flush=True); time.sleep(600)"
    )
    child = _child(program, lines)
    kept = asyncio.create_task(child.keep())
    await asyncio.wait_for(child.ready.wait(), TIMEOUT_S)
    grandchild = int(lines.of("dummy")[0])
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await _until(lambda: child.restarts >= 1)
    await _until(lambda: _has_ended(grandchild))
    child.stop()
    await asyncio.wait_for(kept, TIMEOUT_S)


def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    """Kill -9 of the supervisor leaves no service behind (on Linux, whose kernel tells them)."""
    program = (
        "import asyncio, sys\n"
        "from vitrine.supervisor.child import Child\n"
        "from vitrine.supervisor.layout import Service\n"
        "from vitrine.supervisor.sinks import JsonSink\n"
        "async def never(): return False\n"
        f"service = Service('dummy', (sys.executable, '-c', {_SLEEPS!r}))\n"
        "asyncio.run(Child(service, never, JsonSink(sys.stdout)).keep())\n"
    )
    with psutil.Popen([sys.executable, "-c", program], stdout=asyncio.subprocess.PIPE, text=True) as process:
        started = json.loads(process.stdout.readline())
        assert "up" in process.stdout.readline()
        process.kill()
        process.wait()
        deadline = time.monotonic() + TIMEOUT_S
        while not _has_ended(started["pid"]):
            assert time.monotonic() < deadline
            time.sleep(0.01)


async def test_lines_come_whole_however_they_arrive() -> None:
    """Lines are put together from pieces, the last needs no end, and no line fills memory."""
    stream = asyncio.StreamReader()
    for piece in (b"one\ntw", b"o\n", b"x" * 1_000_000, b"\xff"):
        stream.feed_data(piece)
    stream.feed_eof()
    lines = [line async for line in lines_of(stream)]
    assert lines[:2] == ["one", "two"]
    assert sum(len(line) for line in lines[2:]) == 1_000_001
    assert len(lines) > 3


def _names(lines: Lines) -> list[str]:
    return [event["event"] for event in lines.events]


def _has_ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def test_a_service_refuses_a_wrong_setting_once() -> None:
    """A variable that no setting has ends the real gateway for good, and the line that says so is kept."""
    lines = Lines()
    service = Service("gateway", (sys.executable, "-m", "services.gateway"), {"VITRINE_GATEWAY_FOO": "1"})
    child = Child(service, _never, lines, QUICK)
    with pytest.raises(FailedPrecondition, match="VITRINE_GATEWAY_FOO: there is no such setting"):
        await asyncio.wait_for(child.keep(), TIMEOUT_S)
    assert _names(lines).count("started") == 1


async def _never() -> bool:
    return False
