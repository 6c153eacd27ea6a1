from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import logging, structlog
from services.mesh import logs, trace
logs.configure("ranker", "INFO")
log = structlog.get_logger()
log.debug("too fine")
log.info("outside")
trace.begin("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
log.info("inside", duration_ms=1.5)
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("a library's %s", "warning")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("failed", exc_info=error)
"""


def test_every_line_is_json_with_service_and_trace() -> None:
    """Ours and libraries' alike; below the level nothing is written, and a stack stays in one line."""
    # A process of its own: how it logs is set up once for each.
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["outside", "inside", "a library's warning", "failed"]
    assert {line["service"] for line in lines} == {"ranker"}
    assert "trace_id" not in lines[0]
    assert {line["trace_id"] for line in lines[1:]} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert lines[1]["duration_ms"] == 1.5
    assert lines[2]["level"] == "warning"
    assert "ZeroDivisionError" in lines[3]["exception"]
