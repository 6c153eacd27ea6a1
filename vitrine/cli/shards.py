"""`vitrine shards`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mesh.errors import InvalidArgument, VitrineError
from vitrine.cli import output, tables
from vitrine.cli.options import JsonOption, TlsCaOption, TlsCertificateOption, TlsKeyOption

if TYPE_CHECKING:
    import grpc

    from vitrine.v1.vectorsearch_pb2 import GetShardStatusResponse
    from vitrine.v1.vectorsearch_pb2_grpc import VectorSearchServiceAsyncStub

app = typer.Typer(help="Look at shards themselves, and have them tidy up.", no_args_is_help=True)

Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET...", help="host:port, or dns:///name:port for every address behind that name."
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, help="How many seconds one process has for its answer.")
]

# What one process answered, as `--json` prints it.
_Answer = dict[str, Any]
_Ask = Callable[["VectorSearchServiceAsyncStub", float], Awaitable[_Answer]]

_MIB = 1 << 20


@app.command("status")
def status(
    targets: Targets,
    timeout: TimeoutOption = 10.0,
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    json: JsonOption = False,
) -> None:
    """Show what shards hold and how far they have followed. Ends with 1 when one does not answer."""
    tls = _credentials(tls_ca, tls_certificate, tls_key)
    answers = asyncio.run(_each(targets, _status, timeout, tls))
    _finish(
        answers,
        ("shard", "rows", "products", "revision", "lag", "snapshot", "MiB", "indexes", "state"),
        lambda each: (
            f"{each['shard']} of {each['shards']}",
            str(each["rows"]),
            str(each["products"]),
            str(each["revision"]),
            str(each["lag"]),
            str(each["snapshot_revision"] or "none"),
            f"{each['memory_bytes'] / _MIB:.0f}",
            " ".join(each["index_kinds"]),
            each["state"],
        ),
        json=json,
    )


@app.command("snapshot")
def snapshot(
    targets: Targets,
    timeout: TimeoutOption = 3600.0,
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    json: JsonOption = False,
) -> None:
    """Have shards write a snapshot now. Ends with 1 when one does not."""
    tls = _credentials(tls_ca, tls_certificate, tls_key)
    answers = asyncio.run(_each(targets, _snapshot, timeout, tls))
    _finish(
        answers,
        ("revision", "seconds"),
        lambda each: (str(each["revision"]), f"{each['ms'] / 1e3:.1f}"),
        json=json,
    )


@app.command("compact")
def compact(
    targets: Targets,
    timeout: TimeoutOption = 3600.0,
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    json: JsonOption = False,
) -> None:
    """Have shards let go of the memory of deleted rows now. Ends with 1 when one does not."""
    tls = _credentials(tls_ca, tls_certificate, tls_key)
    answers = asyncio.run(_each(targets, _compact, timeout, tls))
    _finish(
        answers,
        ("segments", "rows moved", "seconds"),
        lambda each: (str(each["segments"]), str(each["rows"]), f"{each['ms'] / 1e3:.1f}"),
        json=json,
    )


async def _each(
    targets: Sequence[str], ask: _Ask, timeout_s: float, tls: grpc.ChannelCredentials | None
) -> list[_Answer]:
    """Ask every process; targets at once, but one after the other those behind one name.

    They are replicas of a shard, and one of them at a time is enough to be busy with itself.
    """
    answers = await asyncio.gather(*(_behind(target, ask, timeout_s, tls) for target in targets))
    return [answer for of_target in answers for answer in of_target]


async def _behind(
    target: str, ask: _Ask, timeout_s: float, tls: grpc.ChannelCredentials | None
) -> list[_Answer]:
    from services.mesh import resolving

    if not resolving.is_name(target):
        return [await _asked(target, "", ask, timeout_s, tls)]
    try:
        name = resolving.parsed(target)
    except ValueError as error:
        raise InvalidArgument("TARGET", str(error)) from error
    try:
        addresses = await resolving.resolve(name)
    except VitrineError as error:
        return [{"address": target, "error": _told(error)}]
    return [await _asked(address, name.host, ask, timeout_s, tls) for address in addresses]


async def _asked(
    address: str, server_name: str, ask: _Ask, timeout_s: float, tls: grpc.ChannelCredentials | None
) -> _Answer:
    """What the process at an address answers; its certificate is for `server_name` where one is given."""
    from services.mesh import channel
    from vitrine.v1 import vectorsearch_pb2_grpc

    start = time.perf_counter()
    async with channel.connect(address, tls=tls, server_name=server_name) as connection:
        stub: VectorSearchServiceAsyncStub = vectorsearch_pb2_grpc.VectorSearchServiceStub(connection)
        try:
            answer = await ask(stub, timeout_s)
        except VitrineError as error:
            return {"address": address, "error": _told(error)}
    return {"address": address, **answer, "ms": round((time.perf_counter() - start) * 1e3, 1)}


async def _status(stub: VectorSearchServiceAsyncStub, timeout_s: float) -> _Answer:
    from services.mesh import channel
    from vitrine.v1 import vectorsearch_pb2

    request = vectorsearch_pb2.GetShardStatusRequest()
    found: GetShardStatusResponse = await channel.call(stub.GetShardStatus, request, timeout_s=timeout_s)
    generations = [generation for catalog in found.catalogs for generation in catalog.generations]
    following = "caught up" if found.following else "caught up, the feed is away"
    return {
        "shard": found.shard,
        "shards": found.shards,
        "revision": found.revision,
        "lag": max(found.feed_revision - found.revision, 0),
        "state": following if found.caught_up else "catching up",
        "caught_up": found.caught_up,
        "following": found.following,
        "snapshot_revision": found.snapshot_revision,
        "journal_revision": found.journal_revision,
        "products": sum(catalog.products for catalog in found.catalogs),
        "rows": sum(catalog.rows for catalog in found.catalogs),
        "dead_rows": sum(generation.dead_rows for generation in generations),
        "memory_bytes": sum(generation.memory_bytes for generation in generations),
        "index_kinds": sorted({index.kind for generation in generations for index in generation.indexes}),
    }


async def _snapshot(stub: VectorSearchServiceAsyncStub, timeout_s: float) -> _Answer:
    from services.mesh import channel
    from vitrine.v1 import vectorsearch_pb2

    request = vectorsearch_pb2.SnapshotShardRequest()
    answer = await channel.call(stub.SnapshotShard, request, timeout_s=timeout_s)
    return {"revision": answer.revision}


async def _compact(stub: VectorSearchServiceAsyncStub, timeout_s: float) -> _Answer:
    from services.mesh import channel
    from vitrine.v1 import vectorsearch_pb2

    request = vectorsearch_pb2.CompactShardRequest()
    answer = await channel.call(stub.CompactShard, request, timeout_s=timeout_s)
    return {"segments": answer.segments, "rows": answer.rows}


def _credentials(
    ca: Path | None, certificate: Path | None, key: Path | None
) -> grpc.ChannelCredentials | None:
    from vitrine.client import TlsFiles, connection

    if ca is not None:
        return connection.credentials(tls=TlsFiles(ca, certificate, key))
    if certificate is not None or key is not None:
        raise InvalidArgument("--tls-certificate", "needs --tls-ca, without which nothing is encrypted")
    return None


def _told(error: VitrineError) -> Mapping[str, str]:
    return {"reason": error.reason, "message": error.message}


def _finish(
    answers: Sequence[_Answer],
    headers: Sequence[str],
    row: Callable[[_Answer], Sequence[str]],
    *,
    json: bool,
) -> None:
    """Print the answers; ends with 1, naming them, when some processes failed."""
    failed = [each for each in answers if "error" in each]
    if json:
        output.print_json({"shards": answers})
    else:
        good = ((each["address"], *row(each)) for each in answers if "error" not in each)
        tables.show(("address", *headers), good, nothing="no shard answered", whole=("address",))
    for each in failed:
        output.say(f"{each['address']} failed: {each['error']['message']}")
    if failed:
        raise typer.Exit(output.FAILED)
