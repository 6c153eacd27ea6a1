"""A sink that remembers what services said."""

from __future__ import annotations

import json
from typing import Any


class Lines:
    """Lines in the order in which they came, each with its service."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def write(self, service: str, line: str) -> None:
        self.lines.append((service, line))

    def close(self) -> None:
        """Nothing is held."""

    def of(self, service: str) -> list[str]:
        """What one service said."""
        return [line for name, line in self.lines if name == service]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the supervisor said."""
        return [json.loads(line) for line in self.of("supervisor")]
