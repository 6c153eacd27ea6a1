"""Where the lines go that services log: to a terminal for people, to a stream as they are, or to files."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console
from rich.text import Text

MAX_FILE_BYTES = 10 << 20
KEPT_FILES = 3

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")
_LEVELS = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
# Told apart in a line for people, or of no use to them there.
_NOT_SHOWN = {"event", "level", "timestamp", "service", "trace_id", "exception"}


class Sink(Protocol):
    """Takes lines of services."""

    def write(self, service: str, line: str) -> None:
        """Take one line, without its end."""

    def close(self) -> None:
        """Let go of what it holds."""


class JsonSink:
    """One JSON object a line; a line that is none becomes one."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, service: str, line: str) -> None:
        """Take one line, without its end."""
        self._stream.write(as_json(service, line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing stays in a buffer."""
        self._stream.flush()


class TerminalSink:
    """Lines for people: the service's name in its colour, then what happened."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colours: dict[str, str] = {}

    def write(self, service: str, line: str) -> None:
        """Take one line, without its end."""
        colour = self._colours.setdefault(service, _COLOURS[len(self._colours) % len(_COLOURS)])
        text = Text(f"{service:<15}", style=colour)
        fields = _parse(line)
        if fields is None:
            text.append(line, style="default")
        else:
            text.append(str(fields.get("event", "")), style=_LEVELS.get(str(fields.get("level")), "default"))
            for key, value in fields.items():
                if key not in _NOT_SHOWN:
                    text.append(f" {key}=", style="dim")
                    text.append(str(value), style="default")
            if "exception" in fields:
                text.append(f"\n{fields['exception']}", style="dim")
        self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held."""


class FileSink:
    """One file a service, in JSON lines, rotated so that they never fill the disk."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._files: dict[str, RotatingFileHandler] = {}

    def write(self, service: str, line: str) -> None:
        """Take one line, without its end."""
        file = self._files.get(service)
        if file is None:
            file = RotatingFileHandler(
                self._directory / f"{service}.log",
                maxBytes=MAX_FILE_BYTES,
                backupCount=KEPT_FILES - 1,
                encoding="utf-8",
            )
            self._files[service] = file
        file.emit(logging.makeLogRecord({"msg": as_json(service, line)}))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def as_json(service: str, line: str) -> str:
    """The line itself when it is a JSON object, else one with it as the event."""
    return line if _parse(line) is not None else event(service, line)


def event(service: str, name: str, **fields: object) -> str:
    """A line in the form that services log in."""
    now = datetime.now(UTC).isoformat()
    return json.dumps({"event": name, **fields, "timestamp": now, "service": service}, default=str)


def _parse(line: str) -> Mapping[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
