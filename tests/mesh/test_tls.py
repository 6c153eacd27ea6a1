from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme

from services.mesh import channel
from services.mesh.channel import call
from services.mesh.errors import Unavailable
from services.mesh.tls import ServerFiles, server_credentials
from tests.mesh.hosts import HostSettings, running
from vitrine.v1 import ranker_pb2, ranker_pb2_grpc

TIMEOUT_S = 60.0


async def nothing() -> None:
    pass


@dataclass(frozen=True)
class Files:
    """A certificate authority, and a certificate with its key that it issued for loopback."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(authority: trustme.CA, folder: Path, name: str = "127.0.0.1") -> Files:
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    issued = authority.issue_cert(name)
    authority.cert_pem.write_to_path(str(files.ca))
    files.key.write_bytes(issued.private_key_pem.bytes())
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return files


async def answers(port: int, tls: grpc.ChannelCredentials | None) -> bool:
    """Whether the server answers a caller over such a channel."""
    async with channel.connect(f"127.0.0.1:{port}", tls=tls) as connection:
        stub = ranker_pb2_grpc.RankerServiceStub(connection)
        try:
            response = await call(stub.Rank, ranker_pb2.RankRequest(limit=7), timeout_s=TIMEOUT_S)
        except Unavailable:
            return False
        return response.dropped_count == 7


async def test_a_caller_who_trusts_the_authority_is_answered(authority: trustme.CA, tmp_path: Path) -> None:
    """A server with a certificate answers over TLS."""
    files = written(authority, tmp_path)
    async with running(nothing, tls_certificate=files.certificate, tls_key=files.key) as host:
        assert await answers(host.port, channel.credentials(ca=files.ca))


async def test_plain_text_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """A server with a certificate answers nobody who does not encrypt."""
    files = written(authority, tmp_path)
    async with running(nothing, tls_certificate=files.certificate, tls_key=files.key) as host:
        assert not await answers(host.port, None)


async def test_a_server_of_another_authority_is_not_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    """A caller says nothing to a server whose certificate is of an authority that they do not know."""
    files = written(authority, tmp_path / "server")
    others = written(trustme.CA(), tmp_path / "other")
    async with running(nothing, tls_certificate=files.certificate, tls_key=files.key) as host:
        assert not await answers(host.port, channel.credentials(ca=others.ca))


async def test_a_server_of_another_name_is_not_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    """A caller says nothing to a server whose certificate is for another host."""
    files = written(authority, tmp_path, name="elsewhere.example")
    async with running(nothing, tls_certificate=files.certificate, tls_key=files.key) as host:
        assert not await answers(host.port, channel.credentials(ca=files.ca))


class TestMutual:
    """Callers have to show a certificate of an authority in `tls_client_ca`."""

    @asynccontextmanager
    async def server(self, authority: trustme.CA, folder: Path) -> AsyncIterator[tuple[int, Files]]:
        files = written(authority, folder)
        async with running(
            nothing, tls_certificate=files.certificate, tls_key=files.key, tls_client_ca=files.ca
        ) as host:
            yield host.port, files

    async def test_a_known_caller_is_answered(self, authority: trustme.CA, tmp_path: Path) -> None:
        """A caller with a certificate of the authority is answered."""
        async with self.server(authority, tmp_path / "server") as (port, files):
            own = written(authority, tmp_path / "caller", name="gateway.example")
            settings = HostSettings(
                tls_ca=files.ca, tls_client_certificate=own.certificate, tls_client_key=own.key
            )
            assert await answers(port, settings.channel_credentials())

    async def test_a_caller_without_a_certificate_is_refused(
        self, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """To trust the server is not enough."""
        async with self.server(authority, tmp_path) as (port, files):
            assert not await answers(port, channel.credentials(ca=files.ca))

    async def test_a_caller_of_another_authority_is_refused(
        self, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """A certificate that somebody else issued opens nothing."""
        async with self.server(authority, tmp_path / "server") as (port, files):
            own = written(trustme.CA(), tmp_path / "caller")
            tls = channel.credentials(ca=files.ca, certificate=own.certificate, key=own.key)
            assert not await answers(port, tls)


async def test_a_renewed_certificate_is_used_without_a_restart(authority: trustme.CA, tmp_path: Path) -> None:
    """Once the files are replaced, new connections get the new certificate."""
    now_s = 0.0
    files = written(authority, tmp_path / "server")
    renewed = trustme.CA()
    server = grpc.aio.server()
    credentials = server_credentials(ServerFiles(files.certificate, files.key), clock=lambda: now_s)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        old, new = _peer(authority), _peer(renewed)
        assert await _shakes_hands(port, old)
        assert not await _shakes_hands(port, new)
        written(renewed, tmp_path / "server")
        # A coarse clock of files may give both writes the same time.
        os.utime(files.certificate, (0, 0))
        now_s = 2.0
        assert await _shakes_hands(port, new)
        assert not await _shakes_hands(port, old)
        # A renewal that fails half-way leaves the server as it is.
        files.key.unlink()
        now_s = 4.0
        assert await _shakes_hands(port, new)
    finally:
        await server.stop(0)


def _peer(authority: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


async def _shakes_hands(port: int, tls: grpc.ChannelCredentials) -> bool:
    """Whether a connection can be made; one that fails is refused by the handshake at once."""
    async with channel.connect(f"127.0.0.1:{port}", tls=tls) as connection:
        state = connection.get_state(try_to_connect=True)
        while state not in {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE}:
            await asyncio.wait_for(connection.wait_for_state_change(state), TIMEOUT_S)
            state = connection.get_state()
        return state is grpc.ChannelConnectivity.READY


async def test_a_server_without_its_key_does_not_start(authority: trustme.CA, tmp_path: Path) -> None:
    """A file that is not there stops the start, and is named."""
    files = written(authority, tmp_path)
    with pytest.raises(OSError, match=r"missing\.pem"):
        async with running(nothing, tls_certificate=files.certificate, tls_key=tmp_path / "missing.pem"):
            pass


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_certificate": "a.pem"}, "tls_certificate and tls_key"),
        ({"tls_key": "a.pem"}, "tls_certificate and tls_key"),
        ({"tls_client_ca": "a.pem"}, "tls_client_ca needs"),
        ({"tls_ca": "a.pem", "tls_client_key": "a.pem"}, "tls_client_certificate and tls_client_key"),
        ({"tls_client_certificate": "a.pem", "tls_client_key": "b.pem"}, "needs tls_ca"),
    ],
)
def test_half_of_a_setting_is_refused(
    given: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """TLS that could only be half of what was meant stops the process with the settings' names."""
    with pytest.raises(SystemExit):
        HostSettings.load([f"--{name.replace('_', '-')}={value}" for name, value in given.items()])
    error = capsys.readouterr().err
    assert told in error
    assert "(--)" not in error


def test_without_an_authority_channels_are_plain() -> None:
    """Services are called in plain text unless an authority is given."""
    assert HostSettings().channel_credentials() is None
