"""Protos that nobody would send: of every field at random, and good ones with something changed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Asked = TypeVar("Asked", bound=Message)

_MAX_DEPTH = 5
_DOUBLES = (0.0, -0.0, 1.0, -1.0, 0.5, 100.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf)
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    # Open enums take any number.
    FieldDescriptor.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}
_SMALL = (0, 1, 2, 3, 10, 100, 101, 1000, 1001, -1)
_COUNTS = (0, 1, 1, 1, 2, 2, 3, 9, 40)
_STRINGS = ("", "*", "\0", "a", "../x", "x" * 1001, "x" * 20_000, "é\u202e👟", "{}", "%2f", "a.b.c", "'; --")


class Maker:
    """Makes messages from a seed; `strings` and `contents` are names and bytes that mean something."""

    def __init__(self, seed: str, *, strings: Sequence[str], contents: Sequence[bytes]) -> None:
        self._chance = random.Random(seed)
        self._strings = (*strings, *_STRINGS)
        self._contents = contents

    def made(self, kind: type[Asked]) -> Asked:
        """A message of which every field is as it happens."""
        message = kind()
        self._fill(message, 0)
        return message

    def changed(self, message: Asked) -> Asked:
        """A good message with something else in one to three places."""
        copy = type(message)()
        copy.CopyFrom(message)
        for _ in range(self._chance.choice((1, 1, 2, 3))):
            self._change(copy, 0)
        return copy

    def damaged(self, message: Asked) -> Asked:
        """A good message whose bytes were changed and are still a message of its kind."""
        for _ in range(100):
            data = bytearray(message.SerializeToString())
            for _ in range(self._chance.choice((1, 2, 8))):
                if data:
                    data[self._chance.randrange(len(data))] = self._chance.randrange(256)
            try:
                return type(message).FromString(bytes(data))
            except DecodeError:
                continue
        return message

    def _fill(self, message: Message, depth: int) -> None:
        for field in _fields(message):
            if self._chance.random() < 0.5:
                self._set(message, field, depth)

    def _change(self, message: Message, depth: int) -> None:
        fields = _fields(message)
        if not fields:
            return
        field = self._chance.choice(fields)
        within = _messages_of(message, field)
        if within and self._chance.random() < 0.8:
            self._change(self._chance.choice(within), depth + 1)
            return
        message.ClearField(field.name)
        if self._chance.random() < 0.8:
            self._set(message, field, depth)

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        place = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            for _ in range(self._chance.choice(_COUNTS)):
                key = self._chance.choice(self._strings)
                if value.message_type is not None:
                    self._fill(place[key], depth + 1)
                else:
                    place[key] = self._scalar(value)
        elif field.message_type is not None:
            count = self._chance.choice(_COUNTS) if field.is_repeated else 1
            for _ in range(count if depth < _MAX_DEPTH else 0):
                one = place.add() if field.is_repeated else place
                one.SetInParent()
                self._fill(one, depth + 1)
        elif field.is_repeated:
            place.extend(self._scalar(field) for _ in range(self._chance.choice((*_COUNTS, 300))))
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._chance.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self._chance.choice((*_DOUBLES, self._chance.uniform(-2, 2)))
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return self._chance.choice((*self._contents, b"", self._chance.randbytes(64)))
            return self._chance.choice(self._strings)
        least, most = _RANGES[kind]
        number = self._chance.choice((*_SMALL, *_SMALL, least, most, least + 1, most - 1))
        return min(max(number, least), most)


def _fields(message: Message) -> list[FieldDescriptor]:
    """The fields of a message."""
    # The stubs tell two descriptors apart that are one.
    return cast("list[FieldDescriptor]", list(message.DESCRIPTOR.fields))


def _messages_of(message: Message, field: FieldDescriptor) -> list[Message]:
    """The messages that a field holds."""
    if field.message_type is None:
        return []
    place: Any = getattr(message, field.name)
    if not field.is_repeated:
        return [place] if message.HasField(field.name) else []
    if not field.message_type.GetOptions().map_entry:
        return list(place)
    is_message = field.message_type.fields_by_name["value"].message_type is not None
    return list(place.values()) if is_message else []
