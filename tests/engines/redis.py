"""A real redis-server on a free port of loopback, to be killed and stopped at will."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.ports import reserved

READY_TIMEOUT_S = 60.0
_POLL_S = 0.02


class RedisServer:
    """One server on `port`, with `options` of redis.conf; what it has saved is there after a restart."""

    def __init__(self, directory: Path, port: int, *options: str) -> None:
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it, with some more options, and wait until it answers, be it that it loads its data."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._directory), "--loglevel", "warning", *self._options, *options],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.command("PING").startswith((b"+PONG", b"-LOADING")):
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(_POLL_S)

    def command(self, *words: str) -> bytes:
        """The first bytes of the answer to a command over a connection of its own; empty when it is away."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=READY_TIMEOUT_S) as connection:
                connection.sendall(" ".join(words).encode() + b"\r\n")
                return connection.recv(1 << 16)
        except ConnectionError:
            return b""

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def restart(self, *options: str) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start(*options)

    def pause(self) -> None:
        """Let it stand still: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        # It may be at work on another core when the signal is sent.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def running(directory: Path, *options: str) -> Iterator[RedisServer]:
    """A server that runs meanwhile."""
    with reserved() as port:
        server = RedisServer(directory, port, *options)
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Delay:
    """Stands before a server and holds every answer back for `delay_s`."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.delay_s = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Pass on what comes meanwhile."""
        passing: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            passing.add(task)
            # Cancelled at the end of the block.
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._pass(reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._behind)

        async def there() -> None:
            while data := await reader.read(1 << 16):
                requests.write(data)
            requests.close()

        async def back() -> None:
            while data := await answers.read(1 << 16):
                await asyncio.sleep(self.delay_s)
                writer.write(data)
            writer.close()

        try:
            await asyncio.gather(there(), back())
        finally:
            requests.close()
            writer.close()
