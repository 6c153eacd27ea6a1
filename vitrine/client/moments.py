"""Points in time: aware of their zone on this side, timestamps on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.mesh.errors import InvalidArgument


def moment_of(message: Message, field: str) -> datetime | None:
    """The time in a field of a message, in UTC; None when it is not set."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)


def timestamp(moment: datetime | None, field: str) -> Timestamp | None:
    """The message of a time; raises InvalidArgument naming `field` for one without a time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidArgument(field, "has no time zone")
    made = Timestamp()
    made.FromDatetime(moment)
    return made
