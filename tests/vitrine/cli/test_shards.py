from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner, Result

from benchmarks.rollout.names import Names
from services.mesh import channel, resolving
from services.mesh.errors import VitrineError
from services.vectorsearch import server
from services.vectorsearch.settings import Settings
from tests.ports import reserved
from tests.vectorsearch.feeds import Feed, serving
from tests.vectorsearch.products import change_message, deletion_message, simple
from tests.vitrine.conftest import TIMEOUT_S
from vitrine.cli.main import app
from vitrine.v1 import vectorsearch_pb2, vectorsearch_pb2_grpc

NAME = "shard-0"
HOSTS = ("127.0.0.1", "127.0.0.2")
NOBODY = "127.0.0.1:1"
PRODUCTS = 20


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """A DNS server, which nobody gives up soon."""
    monkeypatch.setattr(resolving, "resolve", partial(resolving.resolve, timeout_s=TIMEOUT_S))
    served = Names(ttl_s=0)
    with served.served():
        yield served


@dataclass
class Replicas:
    """Two replicas of one shard, on one port of two addresses."""

    port: int

    @property
    def addresses(self) -> list[str]:
        return [f"{host}:{self.port}" for host in HOSTS]


@asynccontextmanager
async def _replicas(directory: Path, **settings: Any) -> AsyncIterator[Replicas]:
    feed = Feed()
    await feed.add(*(change_message(simple(n, n + 1)) for n in range(PRODUCTS)))
    await feed.add(deletion_message("p3", PRODUCTS + 1))
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved())
        feed_port = await stack.enter_async_context(serving(feed))
        for host in HOSTS:
            told = Settings(
                host=host,
                port=port,
                metrics_port=0,
                data_dir=directory / host,
                feed_target=f"127.0.0.1:{feed_port}",
                drain_s=0,
                log_level="ERROR",
                **settings,
            )
            running = asyncio.create_task(server.main(told))
            stack.push_async_callback(_end, running)
        yield Replicas(port)


async def _end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _run(command: str, targets: Sequence[str], *options: str) -> Result:
    arguments = ["shards", command, *targets, "--timeout", str(TIMEOUT_S), *options]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def _followed(replicas: Replicas) -> None:
    """Wait until both have all of the feed."""
    request = vectorsearch_pb2.GetShardStatusRequest()
    for address in replicas.addresses:
        async with channel.connect(address) as connection, asyncio.timeout(TIMEOUT_S):
            stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(connection)
            while True:
                try:
                    found = await channel.call(stub.GetShardStatus, request, timeout_s=TIMEOUT_S)
                    if found.caught_up and found.revision == PRODUCTS + 1:
                        break
                except VitrineError:
                    pass
                await asyncio.sleep(0.02)


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with _replicas(tmp_path) as made:
        await _followed(made)
        yield made


async def test_status_tells_what_a_shard_holds(replicas: Replicas) -> None:
    """Rows, products, revisions, memory and kinds of index are there for programs and for people."""
    result = await _run("status", replicas.addresses, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["shards"]
    assert [each["address"] for each in told] == replicas.addresses
    first = told[0]
    assert (first["shard"], first["shards"], first["rows"], first["products"]) == (0, 1, 19, 19)
    assert (first["revision"], first["lag"], first["state"]) == (PRODUCTS + 1, 0, "caught up")
    assert first["memory_bytes"] > 0
    assert first["index_kinds"]
    shown = await _run("status", replicas.addresses)
    assert shown.exit_code == 0
    assert replicas.addresses[1] in shown.stdout
    assert "0 of 1" in shown.stdout


async def test_a_name_is_every_address_behind_it(replicas: Replicas, names: Names, tmp_path: Path) -> None:
    """A snapshot is written by each replica, and is on the disk of each."""
    for host in HOSTS:
        names.add(NAME, host)
    before = {host: set((tmp_path / host).rglob("*")) for host in HOSTS}
    result = await _run("snapshot", [names.target(NAME, replicas.port)], "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["shards"]
    assert [(each["address"], each["revision"]) for each in told] == [
        (address, PRODUCTS + 1) for address in replicas.addresses
    ]
    for host in HOSTS:
        assert set((tmp_path / host).rglob("*")) - before[host]
    state = json.loads((await _run("status", replicas.addresses, "--json")).stdout)["shards"]
    assert [each["snapshot_revision"] for each in state] == [PRODUCTS + 1] * 2


async def test_compaction_is_told(replicas: Replicas) -> None:
    """Segments and rows are counted; one that is not full is left as it is."""
    result = await _run("compact", replicas.addresses[:1], "--json")
    assert result.exit_code == 0, result.output
    [told] = json.loads(result.stdout)["shards"]
    assert (told["address"], told["segments"], told["rows"]) == (replicas.addresses[0], 0, 0)
    assert (await _run("compact", replicas.addresses[:1])).exit_code == 0


async def test_one_that_fails_is_named_and_the_others_are_done(replicas: Replicas) -> None:
    """The command ends with 1 and tells which process it was; what the others did stands."""
    targets = [NOBODY, replicas.addresses[0]]
    for command in ("status", "snapshot", "compact"):
        result = await _run(command, targets)
        assert result.exit_code == 1
        assert f"{NOBODY} failed: " in result.stderr
        assert replicas.addresses[0] in result.stdout
    result = await _run("snapshot", targets, "--json")
    away, good = json.loads(result.stdout)["shards"]
    assert (result.exit_code, away["error"]["reason"]) == (1, "UNAVAILABLE")
    assert good["revision"] == PRODUCTS + 1


async def test_a_name_without_addresses_fails(names: Names) -> None:
    """It is told by its name."""
    target = names.target("nobody", 1)
    result = await _run("status", [target], "--json")
    [told] = json.loads(result.stdout)["shards"]
    assert result.exit_code == 1
    assert told["address"] == target
    assert "is not resolved" in told["error"]["message"]


async def test_what_is_no_target_is_a_usage_error() -> None:
    """A name without a port is refused before anything is asked."""
    result = await _run("status", ["dns:///shard"])
    assert result.exit_code == 2
    assert "dns:///shard is no target" in result.stderr
    result = await _run("status", [NOBODY], "--tls-key", "a.key")
    assert result.exit_code == 2
    assert "--tls-certificate: needs --tls-ca" in result.stderr


async def test_certificates_are_for_the_name(tmp_path: Path, names: Names) -> None:
    """Shards that ask for certificates are called, each by its address, and show one for the name."""
    for host in HOSTS:
        names.add(NAME, host)
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    of = {who: (tmp_path / f"{who}.pem", tmp_path / f"{who}.key") for who in (NAME, "caller")}
    for who, (certificate, key) in of.items():
        issued = authority.issue_cert(who)
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
    tls = {"tls_certificate": of[NAME][0], "tls_key": of[NAME][1], "tls_client_ca": ca}
    given = ("--tls-ca", ca, "--tls-certificate", of["caller"][0], "--tls-key", of["caller"][1])
    async with _replicas(tmp_path, **tls) as replicas, asyncio.timeout(TIMEOUT_S):
        target = names.target(NAME, replicas.port)
        while (  # noqa: ASYNC110 - processes that start tell nobody
            result := await _run("status", [target], *map(str, given))
        ).exit_code:
            await asyncio.sleep(0.05)
        assert all(address in result.stdout for address in replicas.addresses)
        plain = await _run("status", replicas.addresses)
        assert plain.exit_code == 1
