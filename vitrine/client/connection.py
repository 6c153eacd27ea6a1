"""How a client reaches the gateway: in plain text or encrypted, and who it says it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from services.mesh import channel
from services.mesh.errors import InvalidArgument


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for an encrypted connection.

    `ca` are the authorities that the server's certificate may be of, public ones when None; `certificate` and
    its `key` are shown to a server that asks who calls (mTLS).
    """

    ca: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None


def credentials(*, tls: TlsFiles | bool) -> grpc.ChannelCredentials | None:
    """What encrypts the connection; None for plain text.

    Raises InvalidArgument naming the file that cannot be read.
    """
    if tls is False:
        return None
    files = TlsFiles() if tls is True else tls
    if (files.certificate is None) != (files.key is None):
        raise InvalidArgument("tls", "certificate and key are given together or not at all")
    ca, certificate, key = (
        None if path is None else Path(path) for path in (files.ca, files.certificate, files.key)
    )
    try:
        return channel.credentials(ca=ca, certificate=certificate, key=key)
    except OSError as error:
        raise InvalidArgument("tls", f"{error.filename}: {error.strerror}") from error


def authorization(key: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that says who calls; raises InvalidArgument for what no key or token can be."""
    if not key:
        return ()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidArgument("key", "a key or token is printable ASCII without spaces")
    return (("authorization", f"Bearer {key}"),)
