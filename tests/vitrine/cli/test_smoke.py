from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner

from services.gateway import server
from services.gateway.settings import GatewaySettings
from services.mesh.buckets import buckets_of
from services.mesh.errors import AlreadyExists, DeadlineExceeded, Unavailable, VitrineError
from services.mesh.server import Host
from tests.gateway.access.keyed import ADMIN_KEY, ADMIN_KEY_HASH
from tests.gateway.fakes import FakeRanker, FakeShard
from tests.gateway.rigs import Rig, rigged
from tests.vitrine.conftest import TIMEOUT_S
from tests.vitrine.fake_gateway import FakeGateway
from vitrine import AsyncClient
from vitrine.cli import smoke
from vitrine.cli.main import app
from vitrine.cli.smoke import Step, walk
from vitrine.client.operations import Operation
from vitrine.client.refusals import NO_ANSWER
from vitrine.v1 import catalog_pb2, ranker_pb2

SEARCHES = ("photo", "text", "product", "filter", "explain")
STEPS = ("create", "write", "wait", *SEARCHES, "delete")


@pytest.fixture(autouse=True)
def _patient_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """That this machine stands still for some seconds is no fault of the mesh."""
    for name in ("_CREATE_S", "_DELETE_S"):
        monkeypatch.setattr(smoke, name, TIMEOUT_S)


class Hourglass:
    """The time of each step, which is up when `run_out` says so; `given_s` is what it would have been."""

    def __init__(self) -> None:
        self.given_s: list[float] = []
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Timeout] | None = None

    def timeout(self, given_s: float) -> asyncio.Timeout:
        """Stands for `asyncio.timeout`."""
        self.given_s.append(given_s)
        self._running = asyncio.get_running_loop(), asyncio.timeout(None)
        return self._running[1]

    def run_out(self) -> None:
        """End the time of the step that is under way. From any thread."""
        assert self._running is not None
        loop, step = self._running
        loop.call_soon_threadsafe(step.reschedule, 0.0)


@pytest.fixture
def hourglass(monkeypatch: pytest.MonkeyPatch) -> Hourglass:
    made = Hourglass()
    monkeypatch.setattr(smoke, "asyncio", SimpleNamespace(**{**vars(asyncio), "timeout": made.timeout}))
    return made


class SoundRanker(FakeRanker):
    """One whose terms add up to the score."""

    async def Rank(self, request: Any, context: Any) -> ranker_pb2.RankResponse:
        response = await super().Rank(request, context)
        for ranked in response.ranked:
            for term in ranked.terms:
                term.contribution = ranked.score
        return response


@dataclass
class Served:
    """A gateway over fake services that follow its feed, served."""

    rig: Rig
    ranker: FakeRanker
    address: str

    async def catalogs(self) -> list[str]:
        records = await self.rig.store.catalogs("", 100)
        return [record.catalog for record in records if not record.is_deleting]

    async def walk(
        self,
        after: Callable[[Step], None] = lambda _: None,
        *,
        timeout_s: float = TIMEOUT_S,
        kind: type[AsyncClient] = AsyncClient,
    ) -> dict[str, Step]:
        """The steps on a catalogue of this gateway, by name; `after` is called with each when it is done."""
        steps = {}

        def tell(step: Step) -> None:
            steps[step.name] = step
            after(step)

        async with kind(self.address, catalog="smoke-1") as client:
            await walk(client, tell, timeout_s=timeout_s)
        return steps

    async def run(self, *options: str) -> asyncio.subprocess.Process:
        """The command in a process of its own."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vitrine", "smoke", "--server", self.address, "--json", *options),
            env={**os.environ, "VITRINE_KEY": ADMIN_KEY},
            stdout=asyncio.subprocess.PIPE,
        )


async def _follow(rig: Rig, shard: FakeShard) -> None:
    # Below what asks callers for their keys.
    feed = vars(rig.gateway.feed)["_flow"]
    buckets = buckets_of(shard.shard, shard.shards)
    async for frame in feed.follow(catalog_pb2.FollowRequest(buckets=buckets)):
        shard.take(list(frame.changes), frame.revision)


@asynccontextmanager
async def _served(
    data_dir: Path, *, tls: dict[str, Any] | None = None, ranker: FakeRanker | None = None, **fields: Any
) -> AsyncIterator[Served]:
    ranker = ranker or SoundRanker()
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(rigged(data_dir, real_ranker=ranker, **fields))
        settings = GatewaySettings(port=0, metrics_port=0, drain_s=0, log_level="ERROR", **(tls or {}))
        host = Host(settings, "gateway")
        server.admit(host, rig.gateway.access)
        server.add_services(host, rig.gateway)
        port = await host.start()
        following = [asyncio.create_task(_follow(rig, shard)) for shard in rig.shards]
        try:
            yield Served(rig, ranker, f"127.0.0.1:{port}")
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            host.stop()
            await host.wait()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with _served(tmp_path) as made:
        yield made


def _failed(steps: dict[str, Step]) -> dict[str, str]:
    return {name: step.detail for name, step in steps.items() if not step.ok}


async def test_a_whole_mesh_passes(tmp_path: Path) -> None:
    """With a key and over TLS every step is told, the command ends with 0, and nothing is left behind."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "own.pem", "own.key"))
    authority.cert_pem.write_to_path(str(ca))
    certificate.write_bytes(b"".join(pem.bytes() for pem in own.cert_chain_pems))
    own.private_key_pem.write_to_path(str(key))
    tls = {"tls_certificate": certificate, "tls_key": key}
    async with _served(tmp_path, tls=tls, access="keys", admin_key_hash=ADMIN_KEY_HASH) as served:
        process = await served.run("--tls-ca", str(ca))
        out, _ = await process.communicate()
        told = json.loads(out)
        assert (process.returncode, told["passed"]) == (0, True), told
        assert [(step["name"], step["ok"]) for step in told["steps"]] == [(name, True) for name in STEPS]
        assert told["catalog"].startswith("smoke-")
        assert all(step["ms"] > 0 for step in told["steps"])
        assert await served.catalogs() == []


async def test_a_key_that_may_not_create_is_told(tmp_path: Path) -> None:
    """A refusal ends it at the first step, with the words of the gateway, and there is nothing to delete."""
    async with _served(tmp_path, access="keys", admin_key_hash=ADMIN_KEY_HASH) as served:
        async with AsyncClient(served.address, key=ADMIN_KEY) as client:
            made = await client.create_api_key("shoppers", scope="search")
        process = await served.run("--key", made.secret)
        out, _ = await process.communicate()
        steps = json.loads(out)["steps"]
        assert process.returncode == 1
        assert [step["name"] for step in steps] == ["create"]
        assert "admin" in steps[0]["detail"]


def _losing(error: VitrineError) -> type[AsyncClient]:
    """A client that is told this instead of the first answer to what makes a catalogue."""
    lost = [error]

    class Losing(AsyncClient):
        async def run(self, operation: Operation[Any, Any]) -> Any:
            answer = await super().run(operation)
            if operation.path.endswith("/CreateCatalog") and lost:
                raise lost.pop()
            return answer

    return Losing


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("nothing answers", reason=NO_ANSWER),
        Unavailable("cancelled"),
        DeadlineExceeded("too late"),
        AlreadyExists("catalogs/smoke-1 exists already"),
    ],
)
async def test_a_catalogue_whose_answer_was_lost_is_used(served: Served, error: VitrineError) -> None:
    """It is there when it is made again, under a name that nobody else knows, and it is deleted."""
    steps = await served.walk(kind=_losing(error))
    assert _failed(steps) == {}
    assert tuple(steps) == STEPS
    assert await served.catalogs() == []


async def test_a_catalogue_that_was_made_in_spite_of_an_error_is_deleted(served: Served) -> None:
    """Of an error of the gateway itself it is not known what was done."""
    steps = await served.walk(kind=_losing(VitrineError("internal error")))
    assert set(_failed(steps)) == {"create"}
    assert tuple(steps) == ("create", "delete")
    assert await served.catalogs() == []


async def test_searches_are_of_what_was_written(served: Served) -> None:
    """All of them ask for the revision of the write."""
    assert _failed(await served.walk()) == {}
    for shard in served.rig.shards:
        asked = {request.min_revision for request in shard.requests}
        assert asked
        assert all(revision > 0 for revision in asked)


async def test_a_shard_that_is_away_fails_every_search(served: Served) -> None:
    """An answer of some shards is told as what it is, and each way of searching is tried all the same."""

    def after(step: Step) -> None:
        if step.name == "wait":
            served.rig.shards[1].fault.error = Unavailable("away")

    failed = _failed(await served.walk(after))
    assert tuple(failed) == SEARCHES
    assert "shard 1, which has the query's product, is away" in failed.pop("product")
    assert set(failed.values()) == {"1 of 2 shards answered"}
    assert await served.catalogs() == []


async def test_a_degraded_answer_fails(served: Served) -> None:
    """What an answer lacks is named."""

    def after(step: Step) -> None:
        if step.name == "wait":
            served.ranker.degraded = ["semantics"]

    failed = _failed(await served.walk(after))
    assert failed == dict.fromkeys(SEARCHES, "the answer is less than it could be: semantics")


async def test_products_that_are_not_found_are_told(served: Served) -> None:
    """A shard that lost its rows answers, but not with what was written."""

    def after(step: Step) -> None:
        if step.name == "wait":
            for shard in served.rig.shards:
                for products in shard.held.values():
                    products.pop("blue-square", None)

    failed = _failed(await served.walk(after))
    assert set(failed) == set(SEARCHES) - {"explain"}
    assert failed["filter"].startswith("the filter colour=blue found blue-")
    assert failed["filter"].endswith("; it has to find blue-circle, blue-square, blue-triangle")


async def test_another_photo_first_is_told(served: Served) -> None:
    """The vectors of an embedder that answers with those of another picture are noticed."""

    def after(step: Step) -> None:
        if step.name == "wait":
            for shard in served.rig.shards:
                held = next(iter(shard.held.values()))
                rows = [change.rows.photos[0] for change in held.values()]
                for photo in rows:
                    for vector in photo.vectors:
                        vector.data = vector.data[4:] + vector.data[:4]

    failed = _failed(await served.walk(after))
    assert set(failed) == {"photo"}
    assert "the same photo comes first, with 99 at least" in failed["photo"]


async def test_terms_that_are_not_the_score_are_told(tmp_path: Path) -> None:
    """An explanation has to add up."""
    async with _served(tmp_path, ranker=FakeRanker()) as served:
        failed = _failed(await served.walk())
        assert set(failed) == {"explain"}
        assert "add up to 1.000000, not to its score" in failed["explain"]


async def test_models_without_a_space_for_words_are_no_failure(tmp_path: Path) -> None:
    """Searching by text is left out where no model can do it."""
    async with _served(tmp_path) as served:
        served.rig.embedder.spaces = ["resnet50", "triplet"]
        steps = await served.walk()
        assert _failed(steps) == {}
        assert steps["text"].detail.startswith("left out: ")


async def test_a_step_that_does_not_end_is_given_up(served: Served, hourglass: Hourglass) -> None:
    """When the time is up the step that hangs is named, and what was made is deleted."""
    served.rig.embedder.hang_after = 0
    walking = asyncio.create_task(served.walk(timeout_s=90))
    while not served.rig.embedder.asked:  # noqa: ASYNC110 - the fake knows no events
        await asyncio.sleep(0.01)
    hourglass.run_out()
    steps = await walking
    created_s, written_s, deleted_s = hourglass.given_s
    assert 90 >= created_s > written_s
    assert deleted_s == pytest.approx(smoke._DELETE_S, abs=60)
    assert not steps["write"].ok
    assert "time" in steps["write"].detail
    assert list(steps) == ["create", "write", "delete"]
    assert await served.catalogs() == []


async def test_a_refused_photo_is_told(served: Served) -> None:
    """What the gateway says of a product that it does not take is the reason."""
    unpatched = served.rig.embedder._embedding
    served.rig.embedder._embedding = lambda content, spaces: unpatched(b"bad", spaces)  # type: ignore[method-assign]  # an embedder that can read nothing
    failed = _failed(await served.walk())
    assert set(failed) == {"write"}
    assert "red-circle was refused: " in failed["write"]


async def test_a_cancelled_walk_tidies_up(served: Served) -> None:
    """Whoever ends it in the middle leaves no catalogue either."""
    told: list[str] = []

    def after(step: Step) -> None:
        told.append(step.name)
        if step.name == "write":
            walking.cancel()

    walking = asyncio.create_task(served.walk(after))
    with pytest.raises(asyncio.CancelledError):
        await walking
    assert told == ["create", "write", "delete"]
    assert await served.catalogs() == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_command_tidies_up(tmp_path: Path, sent: signal.Signals) -> None:
    """Ctrl-C and the end of a pod delete the catalogue too; the command ends with 130."""
    async with _served(tmp_path) as served:
        served.rig.embedder.hang_after = 0
        process = await served.run()
        async with asyncio.timeout(TIMEOUT_S):
            while not served.rig.embedder.asked:  # noqa: ASYNC110 - the fake knows no events
                await asyncio.sleep(0.01)
            process.send_signal(sent)
            await process.communicate()
        assert process.returncode == 130
        assert await served.catalogs() == []


def test_people_see_a_line_a_step(
    gateway: FakeGateway, hourglass: Hourglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an answer lacks is in the line of its step, and the last line says which steps failed."""
    search = FakeGateway._search

    def answered(self: FakeGateway, request: Any, context: Any) -> Any:
        # The second search is made when the first has been found wanting.
        if len(self.searches) == 2:
            hourglass.run_out()
        return search(self, request, context)

    monkeypatch.setattr(FakeGateway, "_search", answered)
    result = CliRunner().invoke(app, ["smoke", "--server", gateway.address, "--timeout", "100"])
    assert 100 >= hourglass.given_s[0] > hourglass.given_s[1] > hourglass.given_s[2]
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok      create")
    assert "FAILED  wait" in result.stdout
    assert "not done when the time was up: the answer is less than it could be: ranker" in result.stdout
    assert lines[-1].startswith(f"failed: wait, {gateway.address}")
    assert not gateway.catalogs


def test_nobody_there_is_told_at_once() -> None:
    """There is no waiting for a gateway that does not answer at all."""
    result = CliRunner().invoke(app, ["smoke", "--server", "127.0.0.1:1", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [step["name"] for step in told["steps"]] == ["create"]
    assert "nothing answers at 127.0.0.1:1" in told["steps"][0]["detail"]
