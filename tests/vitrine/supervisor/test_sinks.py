import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from vitrine.supervisor import sinks
from vitrine.supervisor.sinks import FileSink, JsonSink, TerminalSink, event


def test_json_lines_stay_and_others_become_some() -> None:
    """A service's own line is untouched; a line of something else is an event of that service."""
    stream = io.StringIO()
    sink = JsonSink(stream)
    own = '{"event": "rpc", "code": "OK"}'
    for line in (own, "a warning", "{torn", "[1]"):
        sink.write("gateway", line)
    sink.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == own
    others = [json.loads(line) for line in lines[1:]]
    assert [line["event"] for line in others] == ["a warning", "{torn", "[1]"]
    assert all(line["service"] == "gateway" for line in others)


def test_a_terminal_shows_who_says_what() -> None:
    """People see the service, the event and its fields, but neither markup nor JSON."""
    stream = io.StringIO()
    sink = TerminalSink(Console(file=stream, width=40, force_terminal=False))
    sink.write("gateway", event("gateway", "rpc", code="OK", duration_ms=1.5))
    sink.write("embedder", "a [bold]warning[/bold] that is longer than the terminal is wide")
    sink.write("ranker", '{"event": "unexpected", "level": "error", "exception": "Traceback ..."}')
    sink.close()
    first, second, third, trace = stream.getvalue().splitlines()
    assert first == "gateway        rpc code=OK duration_ms=1.5"
    assert second == "embedder       a [bold]warning[/bold] that is longer than the terminal is wide"
    assert third == "ranker         unexpected"
    assert trace == "Traceback ..."


def test_files_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service has its file, and no number of lines fills the disk."""
    monkeypatch.setattr(sinks, "MAX_FILE_BYTES", 1000)
    sink = FileSink(tmp_path / "logs")
    sink.write("ranker", "once")
    for number in range(200):
        sink.write("gateway", event("gateway", "rpc", number=number))
    sink.close()
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["gateway.log", "gateway.log.1", "gateway.log.2", "ranker.log"]
    assert all(path.stat().st_size <= 1100 for path in (tmp_path / "logs").iterdir())
    last = (tmp_path / "logs" / "gateway.log").read_text().splitlines()[-1]
    assert json.loads(last)["number"] == 199
