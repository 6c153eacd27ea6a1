"""TLS of a server: its certificate and, where callers must show theirs, whose are taken.

The files are read again when they have changed, so that a renewed certificate is used from the next
connection on, without a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

_log = structlog.get_logger()

# Handshakes may be many: the files are looked at this often at most.
_LOOK_S = 1.0

_Stamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """PEM files: a certificate chain, its private key and, for mTLS, the authorities of callers."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What they hold now; raises OSError when one cannot be read."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            root_certificates=self.client_ca.read_bytes() if self.client_ca else None,
        )

    def stamps(self) -> _Stamps:
        """Differs once one of them has been replaced; raises OSError when one is not there."""
        files = [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]
        states = [file.stat() for file in files]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


def server_credentials(
    files: ServerFiles, *, clock: Callable[[], float] = time.monotonic
) -> grpc.ServerCredentials:
    """Credentials that follow the files. With a `client_ca` a caller without a certificate is refused.

    Raises OSError when a file cannot be read. Later trouble with them is logged and changes nothing.
    """
    renewal = _Renewal(files, clock)
    return grpc.dynamic_ssl_server_credentials(
        renewal.first,
        renewal.changed,  # type: ignore[arg-type]  # gRPC's documentation has None for "as before".
        require_client_authentication=files.client_ca is not None,
    )


class _Renewal:
    def __init__(self, files: ServerFiles, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._stamps = files.stamps()
        self._looked_at_s = clock()
        self.first = files.configuration()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """For gRPC, at each handshake: None where all is as before."""
        now_s = self._clock()
        if now_s - self._looked_at_s < _LOOK_S:
            return None
        self._looked_at_s = now_s
        try:
            stamps = self._files.stamps()
            if stamps == self._stamps:
                return None
            configuration = self._files.configuration()
        except OSError as error:
            _log.error("certificate cannot be read again", error=str(error))
            return None
        self._stamps = stamps
        _log.info("certificate read again", file=str(self._files.certificate))
        return configuration
