"""One service's process: started, watched, restarted when it dies, drained in the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from services.mesh.backoff import Backoff
from services.mesh.errors import FailedPrecondition
from services.mesh.settings import SETTINGS_STATUS
from vitrine.supervisor.layout import Service
from vitrine.supervisor.sinks import Sink, event

_LEASH = Path(__file__).with_name("leash.py")
_MAX_LINE_BYTES = 256 << 10
_READ_BYTES = 64 << 10
_LAST_LINES = 10


@dataclass(frozen=True)
class Policy:
    """How a child is treated.

    A child that has been ready for `healthy_s` is well again and its back-off starts anew; one that dies
    `max_failures` times without ever having been ready is given up, since it never will be.
    """

    poll_s: float = 0.2
    healthy_s: float = 10.0
    max_failures: int = 5
    first_backoff_s: float = 0.25
    max_backoff_s: float = 30.0
    drain_s: float = 7.0


class Child:
    """Keeps one service running. `ready` is set while it answers that it can work.

    `is_ready` is asked every `policy.poll_s` until it says so.
    """

    def __init__(
        self,
        service: Service,
        is_ready: Callable[[], Awaitable[bool]],
        sink: Sink,
        policy: Policy | None = None,
    ) -> None:
        self.service = service
        self.ready = asyncio.Event()
        self.restarts = 0
        self._is_ready = is_ready
        self._sink = sink
        self._policy = policy or Policy()
        self._backoff = Backoff(initial_s=self._policy.first_backoff_s, max_s=self._policy.max_backoff_s)
        self._was_ready = False
        self._stopping = asyncio.Event()
        self._process: Process | None = None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int | None:
        """Process id, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def keep(self) -> None:
        """Start the process, and again whenever it dies, until `stop`.

        Raises FailedPrecondition with its last lines when it cannot be started at all, at once where its
        settings are wrong: no retry mends those.
        """
        while not self._stopping.is_set():
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if code == SETTINGS_STATUS:
                raise FailedPrecondition(self._obituary(code), reason="SERVICE_FAILED")
            delay_s = self._backoff.next_s()
            if not self._was_ready and self._backoff.failures >= self._policy.max_failures:
                raise FailedPrecondition(self._obituary(code), reason="SERVICE_FAILED")
            self._say("died", status=code, restart_in_s=delay_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
            self.restarts += 1

    def stop(self) -> None:
        """Let `keep` ask the process to end, make it after a while, and return."""
        self._stopping.set()

    async def _run_once(self) -> int:
        """Run the process to its end; its status."""
        # A pipe of our own: asyncio's would let a grandchild that holds it open hide the process's end.
        read_end, write_end = os.pipe()
        stream = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            process = await self._start(write_end)
        finally:
            os.close(write_end)
        reading = asyncio.create_task(self._read(stream))
        watching = asyncio.create_task(self._watch(process))
        try:
            return await self._end_of(process)
        finally:
            self.ready.clear()
            self._kill(process)
            # What it said last is still in the pipe.
            await asyncio.wait([reading], timeout=1.0)
            pipe.close()
            for task in (reading, watching):
                task.cancel()
            await asyncio.gather(reading, watching, return_exceptions=True)

    async def _start(self, output: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-IS", str(_LEASH), str(os.getpid()), *self.service.command,
            stdin=DEVNULL, stdout=output, stderr=STDOUT,
            env={**os.environ, **self.service.environment},
            # Ctrl-C goes to the supervisor alone, which drains its children in order.
            process_group=0,
        )  # fmt: skip
        self._process = process
        self._say("started", pid=process.pid)
        return process

    async def _end_of(self, process: Process) -> int:
        """The status with which the process ended, by itself or because it was to stop."""
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            process.terminate()
            await asyncio.wait([ended], timeout=self._policy.drain_s)
        if not ended.done():
            self._say("killed", reason=f"had not ended {self._policy.drain_s} s after SIGTERM")
            self._kill(process)
        return await ended

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in lines_of(stream):
            self._last_lines.append(line)
            self._sink.write(self.service.name, line)

    async def _watch(self, process: Process) -> None:
        start = time.monotonic()
        while not await self._is_ready():  # noqa: ASYNC110 - another process: it can only be asked
            await asyncio.sleep(self._policy.poll_s)
        self.ready.set()
        self._was_ready = True
        self._say("ready", pid=process.pid, after_s=round(time.monotonic() - start, 1))
        await asyncio.sleep(self._policy.healthy_s)
        self._backoff.reset()

    def _kill(self, process: Process) -> None:
        """Kill the process and those that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def _obituary(self, code: int) -> str:
        last = "\n".join(f"  {line}" for line in self._last_lines)
        return f"{self.service.name} does not start (status {code}); the last it said:\n{last}"

    def _say(self, name: str, **fields: object) -> None:
        self._sink.write("supervisor", event("supervisor", name, child=self.service.name, **fields))


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a stream; one longer than a quarter of a megabyte comes in pieces."""
    pending = b""
    while chunk := await stream.read(_READ_BYTES):
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(pending) > _MAX_LINE_BYTES:
            yield pending.decode(errors="replace")
            pending = b""
    if pending:
        yield pending.decode(errors="replace")
