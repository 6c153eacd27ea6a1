"""`vitrine status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from services.mesh.errors import PermissionDenied, Unauthenticated, VitrineError
from vitrine.cli import output, tables
from vitrine.cli.session import Session, connected

if TYPE_CHECKING:
    from vitrine.client import AsyncClient
    from vitrine.supervisor.state import State

_TIMEOUT_S = 2.0
_COLOURS = {"serving": "green", "not serving": "yellow", "away": "red"}


@connected
def status(session: Session) -> None:
    """Show services, catalogues, shards and models. Ends with 1 unless every service serves."""
    import asyncio

    from vitrine.supervisor.layout import Layout

    running = session.mesh
    addresses = running.layout.addresses if running else {"gateway": session.server or Layout().gateway}
    found = {**_mesh(running), **asyncio.run(_gather(addresses, session))}
    if session.json:
        output.print_json(found)
    else:
        _print(found)
    if any(service["status"] != "serving" for service in found["services"]):
        raise typer.Exit(output.FAILED)


def _mesh(running: State | None) -> dict[str, Any]:
    if running is None:
        return {"supervised": False, "pid": None, "url": None, "store": None, "cache": None}
    return {
        "supervised": True,
        "pid": running.pid,
        "url": running.layout.url,
        "store": running.store or "files",
        "cache": running.cache or "memory",
    }


async def _gather(addresses: dict[str, str], session: Session) -> dict[str, Any]:
    from asyncio import gather

    names = list(addresses)
    shards = [address for name, address in addresses.items() if name.startswith("vectorsearch-")]
    statuses, (catalogs, problem), shard_states, models = await gather(
        gather(*(_health(name, addresses[name], session) for name in names)),
        _catalogs(session.asynchronous(read_s=_TIMEOUT_S)),
        gather(*(_shard(address) for address in shards)),
        _models(addresses["embedder"]) if "embedder" in addresses else _nothing(),
    )
    return {
        "services": [
            {"name": name, "address": addresses[name], "status": health}
            for name, health in zip(names, statuses, strict=True)
        ],
        "catalogs": catalogs,
        "catalogs_problem": problem,
        "shards": shard_states,
        "models": models,
    }


async def _health(name: str, address: str, session: Session) -> str:
    from vitrine.client import connection
    from vitrine.supervisor.health import HealthProbe

    # What is given says how the gateway is reached; the others of a mesh here are reached in plain text.
    tls = connection.credentials(tls=session.tls()) if name == "gateway" else None
    async with HealthProbe(address, tls=tls) as probe:
        return await probe.status()


async def _catalogs(gateway: AsyncClient) -> tuple[list[dict[str, Any]], str]:
    """The catalogues, or why the gateway does not tell them."""
    async with gateway as client:
        try:
            found = [
                {
                    "catalog": catalog.id,
                    "products": catalog.products,
                    "photos": catalog.photos,
                    "revision": catalog.revision,
                    "generation": catalog.generation,
                    "spaces": list(catalog.spaces),
                }
                async for catalog in client.catalogs()
            ]
        except (PermissionDenied, Unauthenticated) as error:
            return [], error.message
        except VitrineError:
            # The gateway's own status says that it is away.
            return [], ""
        return found, ""


async def _shard(address: str) -> dict[str, Any]:
    from services.mesh import channel
    from vitrine.v1 import vectorsearch_pb2, vectorsearch_pb2_grpc

    connection = channel.connect(address)
    try:
        stub = vectorsearch_pb2_grpc.VectorSearchServiceStub(connection)
        answer = await channel.call(
            stub.GetShardStatus, vectorsearch_pb2.GetShardStatusRequest(), timeout_s=_TIMEOUT_S
        )
    except VitrineError as error:
        return {"address": address, "error": error.message}
    finally:
        await connection.close()
    return {
        "address": address,
        "shard": answer.shard,
        "shards": answer.shards,
        "revision": answer.revision,
        "lag": max(answer.feed_revision - answer.revision, 0),
        "caught_up": answer.caught_up,
        "following": answer.following,
        "products": sum(catalog.products for catalog in answer.catalogs),
        "rows": sum(catalog.rows for catalog in answer.catalogs),
        "vector_bytes": sum(catalog.vector_bytes for catalog in answer.catalogs),
    }


async def _models(address: str) -> list[dict[str, Any]]:
    from services.mesh import channel
    from vitrine.v1 import embedder_pb2, embedder_pb2_grpc

    connection = channel.connect(address)
    try:
        stub = embedder_pb2_grpc.EmbedderServiceStub(connection)
        answer = await channel.call(stub.ListModels, embedder_pb2.ListModelsRequest(), timeout_s=_TIMEOUT_S)
    except VitrineError:
        # The embedder's own status says that it is away.
        return []
    finally:
        await connection.close()
    return [
        {
            "space": model.spec.space,
            "model": model.spec.model,
            "dimension": model.spec.dimension,
            "accepts_text": model.spec.accepts_text,
            "digest": model.spec.model_digest,
            "device": model.device,
            "dtype": model.dtype,
            "unavailable_reason": model.unavailable_reason,
        }
        for model in answer.models
    ]


async def _nothing() -> list[dict[str, Any]]:
    return []


def _print(found: dict[str, Any]) -> None:
    from rich.text import Text

    services = tables.table("service", "address", "status")
    for service in found["services"]:
        state = Text(service["status"], style=_COLOURS[service["status"]])
        services.add_row(service["name"], service["address"], state)
    catalogs = tables.table("catalogue", "products", "photos", "revision", "spaces")
    for catalog in found["catalogs"]:
        catalogs.add_row(
            catalog["catalog"],
            str(catalog["products"]),
            str(catalog["photos"]),
            str(catalog["revision"]),
            " ".join(catalog["spaces"]),
        )
    shards = tables.table("shard", "rows", "products", "revision", "lag", "MiB")
    for shard in found["shards"]:
        if "error" in shard:
            shards.add_row(shard["address"], "away")
        else:
            shards.add_row(
                f"{shard['shard']} of {shard['shards']}",
                str(shard["rows"]),
                str(shard["products"]),
                str(shard["revision"]),
                str(shard["lag"]),
                f"{shard['vector_bytes'] / (1 << 20):.0f}",
            )
    models = tables.table("space", "model", "on", "type", "")
    for model in found["models"]:
        models.add_row(
            model["space"], model["model"], model["device"], model["dtype"], model["unavailable_reason"]
        )
    for made in (services, catalogs, shards, models):
        if made.row_count:
            output.out().print(made, "")
    if found["catalogs_problem"]:
        output.say(f"no catalogues are shown: {found['catalogs_problem']}")
    is_away = any(each["name"] == "gateway" and each["status"] == "away" for each in found["services"])
    if is_away and not found["supervised"]:
        # Where there is a supervisor it starts the gateway again.
        output.say("the gateway is away: start it with `vitrine up`")
    if found["url"]:
        output.out().print(f"page: {found['url']} · supervisor: process {found['pid']}", soft_wrap=True)
        output.out().print(f"store: {found['store']} · cache: {found['cache']}", soft_wrap=True)
