"""A gateway as a process of its own that asks for keys, over fake services: who gets in, and what it logs."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import trustme

from services.mesh import channel
from tests.gateway.access.keyed import (
    ADMIN_KEY,
    ADMIN_KEY_HASH,
    PHOTO,
    SECRET_CHARACTERS,
    TIMEOUT_S,
    Stubs,
    code_of,
)
from tests.gateway.fakes import FakeEmbedder, FakeRanker, FakeShard, hosted
from vitrine.v1 import (
    access_pb2,
    access_pb2_grpc,
    embedder_pb2,
    embedder_pb2_grpc,
    ranker_pb2,
    ranker_pb2_grpc,
    vectorsearch_pb2,
    vectorsearch_pb2_grpc,
)


@dataclass
class Process:
    """The gateway's addresses, and all that it has said so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    grpc_target: str = ""
    http_url: str = ""

    async def read(self) -> None:
        """Take in what it says until it ends."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.lines.append(line.decode())

    async def ready(self) -> None:
        """Return once it has said where it listens."""
        assert self.process.stderr is not None
        while not (self.grpc_target and self.http_url):
            line = (await asyncio.wait_for(self.process.stderr.readline(), TIMEOUT_S)).decode()
            assert line, "".join(self.lines)
            self.lines.append(line)
            said = json.loads(line)
            if said["event"] == "listening":
                self.grpc_target = said["address"]
            if said["event"] == "http listening":
                self.http_url = "http://" + said["address"]

    @property
    def audit(self) -> list[dict[str, Any]]:
        """Its audit log."""
        return [said for line in self.lines if (said := json.loads(line))["event"] == "audit"]


@asynccontextmanager
async def gateway(data_dir: Path, *arguments: str) -> AsyncIterator[Process]:
    """A gateway over fake services that asks for keys. It has ended, by SIGTERM, when this returns."""
    async with AsyncExitStack() as stack:
        targets = [
            await stack.enter_async_context(hosted(name, descriptor, register))
            for name, descriptor, register in (
                (
                    "embedder",
                    embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
                    lambda s: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(FakeEmbedder(), s),
                ),
                (
                    "ranker",
                    ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
                    lambda s: ranker_pb2_grpc.add_RankerServiceServicer_to_server(FakeRanker(), s),
                ),
                (
                    "vectorsearch",
                    vectorsearch_pb2.DESCRIPTOR.services_by_name["VectorSearchService"],
                    lambda s: vectorsearch_pb2_grpc.add_VectorSearchServiceServicer_to_server(
                        FakeShard(0, 1), s
                    ),
                ),
            )
        ]
        settings = {
            "port": "0",
            "http-port": "0",
            "metrics-port": "0",
            "data-dir": str(data_dir),
            "embedder": targets[0],
            "ranker": targets[1],
            "shards": targets[2],
            "log-level": "DEBUG",
            "access": "keys",
            "admin-key-hash": ADMIN_KEY_HASH,
            "drain-s": "5",
            # A machine that stands still is no fault of the services.
            "embed-timeout-s": str(TIMEOUT_S),
            "rank-timeout-s": str(TIMEOUT_S),
            "shard-timeout-s": str(TIMEOUT_S),
            "store-timeout-s": str(TIMEOUT_S),
        }
        flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
        process = Process(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.gateway",
                *flags,
                *arguments,
                stderr=asyncio.subprocess.PIPE,
            )
        )
        try:
            await process.ready()
            reading = asyncio.create_task(process.read())
            yield process
            process.process.terminate()
            await asyncio.wait_for(process.process.wait(), TIMEOUT_S)
            await reading
        finally:
            if process.process.returncode is None:
                process.process.kill()
                await process.process.wait()


async def test_keys_open_what_they_are_for_and_never_show(tmp_path: Path) -> None:
    """Callers get what their keys allow over both transports, and no secret or picture is in any line."""
    async with (
        gateway(tmp_path) as process,
        channel.connect(process.grpc_target) as connection,
        httpx.AsyncClient(base_url=process.http_url, timeout=TIMEOUT_S) as http,
    ):
        admin = Stubs(connection, ADMIN_KEY)
        for catalog in ("shop", "other"):
            await admin.create_catalog(catalog)
        made = await admin.make_key(scope=access_pb2.SCOPE_WRITE, catalogs=["catalogs/shop"])
        writer = admin.having(made.secret)
        searcher = admin.having((await admin.make_key(scope=access_pb2.SCOPE_SEARCH)).secret)
        forged = made.secret[:-1] + ("x" if made.secret[-1] != "x" else "y")

        await writer.upsert()
        assert await code_of(searcher.search()) is grpc.StatusCode.OK
        assert await code_of(searcher.upsert()) is grpc.StatusCode.PERMISSION_DENIED
        assert await code_of(writer.upsert("catalogs/other")) is grpc.StatusCode.PERMISSION_DENIED
        assert await code_of(writer.create_catalog("third")) is grpc.StatusCode.PERMISSION_DENIED
        assert await code_of(admin.having("").search()) is grpc.StatusCode.UNAUTHENTICATED
        assert await code_of(admin.having(forged).search()) is grpc.StatusCode.UNAUTHENTICATED

        bearer = {"authorization": f"Bearer {searcher.key}"}
        assert (await http.get("/v1/catalogs/shop", headers=bearer)).status_code == 200
        assert (await http.get("/v1/catalogs", headers={"x-api-key": made.secret})).status_code == 403
        assert (await http.get("/v1/catalogs/shop", headers={"x-api-key": forged})).status_code == 401
        refused = await http.get("/v1/catalogs/shop")
        assert refused.status_code == 401
        assert "bearer" in refused.headers["www-authenticate"].lower()
        assert (await http.get("/healthz")).status_code == 200

        name = made.api_key.name
        await admin(
            access_pb2_grpc.AccessServiceStub, "DeleteApiKey", access_pb2.DeleteApiKeyRequest(name=name)
        )
        assert await code_of(writer.upsert()) is grpc.StatusCode.UNAUTHENTICATED

    said = "".join(process.lines)
    secrets = [ADMIN_KEY, made.secret, searcher.key, forged]
    for secret in (*secrets, *(secret[-SECRET_CHARACTERS:] for secret in secrets)):
        assert secret not in said
    assert "nobody's-business" not in said
    for part in _pieces(PHOTO):
        assert part not in said
    who = name.removeprefix("apiKeys/")
    lines = [(line["who"], line["method"], line["code"]) for line in process.audit]
    assert lines == [
        ("apiKeys/bootstrap", "CreateCatalog", "OK"),
        ("apiKeys/bootstrap", "CreateCatalog", "OK"),
        ("apiKeys/bootstrap", "CreateApiKey", "OK"),
        ("apiKeys/bootstrap", "CreateApiKey", "OK"),
        (f"apiKeys/{who}", "BatchUpsertProducts", "OK"),
        (lines[5][0], "BatchUpsertProducts", "PERMISSION_DENIED"),
        (f"apiKeys/{who}", "BatchUpsertProducts", "PERMISSION_DENIED"),
        (f"apiKeys/{who}", "CreateCatalog", "PERMISSION_DENIED"),
        ("apiKeys/bootstrap", "DeleteApiKey", "OK"),
    ]


def _pieces(content: bytes) -> list[str]:
    """How bytes of a picture would look in a line, from somewhere in the middle."""
    middle = content[120:180]
    return [base64.b64encode(content[offset:])[160:200].decode() for offset in range(3)] + [
        repr(middle)[2:-1],
        json.dumps(middle.decode("latin-1"))[1:-1],
        middle.hex(),
    ]


async def test_mutual_tls_and_keys_go_together(tmp_path: Path) -> None:
    """With certificates asked for, a key over a plain connection is worth nothing, and over TLS it is."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    flags = ["--tls-certificate", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(ca)]
    async with gateway(tmp_path / "data", *flags) as process:
        async with channel.connect(process.grpc_target) as connection:
            call = Stubs(connection, ADMIN_KEY).create_catalog("shop")
            assert await code_of(call) is grpc.StatusCode.UNAVAILABLE
        tls = channel.credentials(ca=ca, certificate=certificate, key=key)
        async with channel.connect(process.grpc_target, tls=tls) as connection:
            call = Stubs(connection, ADMIN_KEY).create_catalog("shop")
            assert await code_of(call) is grpc.StatusCode.OK
            assert await code_of(Stubs(connection).search()) is grpc.StatusCode.UNAUTHENTICATED
