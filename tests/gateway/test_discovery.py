from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.gateway import discovery, replicas, shard_sets
from services.gateway.discovery import Discovery
from services.gateway.replicas import Place, Replicas, State
from services.gateway.settings import MAX_REPLICAS
from services.gateway.shards import Shards
from services.mesh.errors import Unavailable
from services.mesh.resolving import Name
from tests.gateway.shard_rigs import CopySet, copied, ids, ranked, search
from tests.log_lines import captured
from tests.patience import until

NAME = "dns:///shard:50060"
CALLERS = 8


class Addresses:
    """What a resolver knows: the addresses behind each name, or that it does not answer."""

    def __init__(self, *addresses: str) -> None:
        self.found: dict[str, tuple[str, ...]] = {"shard": addresses}
        self.is_away = False

    async def resolve(self, name: Name) -> tuple[str, ...]:
        await asyncio.sleep(0)
        if self.is_away or not self.found.get(name.host):
            raise Unavailable("no such name")
        return self.found[name.host]


def addresses(count: int) -> list[str]:
    """Addresses that nobody serves."""
    return [f"127.0.0.1:{port}" for port in range(1, count + 1)]


@asynccontextmanager
async def discovered(known: Addresses, *targets: str) -> AsyncIterator[tuple[Replicas, Discovery]]:
    """A shard, looked for once."""
    shard = Replicas(targets, Place(0, 1))
    try:
        looking = Discovery([shard], known.resolve)
        await looking.look()
        yield shard, looking
    finally:
        await shard.close()


def targets_of(shard: Replicas) -> list[str]:
    return [each.target for each in shard.all]


async def test_a_name_stands_for_every_address_behind_it() -> None:
    """There is a replica for each address, which comes and goes with it; what stays is the same replica."""
    first, second, third = addresses(3)
    known = Addresses(first, second)
    async with discovered(known, NAME) as (shard, looking):
        assert targets_of(shard) == [first, second]
        stays = shard.all[1]
        known.found["shard"] = (second, third)
        await looking.look()
        assert targets_of(shard) == [second, third]
        assert shard.all[0] is stays


async def test_a_pod_with_an_address_of_each_family_is_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at that of IPv4, and stays the same however often it is looked for."""

    def found(host: str, *rest: object, **options: object) -> list[object]:
        return [(0, 0, 0, "", (address, 0)) for address in ("fd00::7", "10.0.0.7", "fd00::7")]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    shard = Replicas([NAME], Place(0, 1))
    looking = Discovery([shard])
    for _ in range(2):
        await looking.look()
        assert targets_of(shard) == ["10.0.0.7:50060"]
    await shard.close()


async def test_plain_targets_stay_beside_names() -> None:
    """An address in the settings is a replica for ever, and only one where a name has it too."""
    first, second, third = addresses(3)
    known = Addresses(first, second)
    known.found["other"] = (third,)
    async with discovered(known, first, NAME, "dns:///other:50060") as (shard, looking):
        assert targets_of(shard) == [first, second, third]
        known.found = {"shard": (third,), "other": (third,)}
        await looking.look()
        assert targets_of(shard) == [first, third]


async def test_what_is_known_stays_while_names_are_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that is away, or knows no address any more, takes none away; it is told of once."""
    logs = captured(monkeypatch, discovery)
    known = Addresses(*addresses(2))
    async with discovered(known, NAME) as (shard, looking):
        before = shard.all
        known.is_away = True
        for _ in range(3):
            await looking.look()
        assert shard.all == before
        assert [line["log_level"] for line in logs] == ["warning", "debug", "debug"]
        known.is_away, known.found = False, {}
        await looking.look()
        assert shard.all == before
        known.found["shard"] = (addresses(3)[2],)
        await looking.look()
        assert targets_of(shard) == [addresses(3)[2]]


async def test_a_shard_without_any_address_has_nobody_to_ask() -> None:
    """A name that was never resolved gives no replica, and no error but that of the calls."""
    known = Addresses()
    async with discovered(known, NAME) as (shard, looking):
        assert shard.next() is None
        assert shard.spare(besides=[], revision=0) is None
        known.found["shard"] = tuple(addresses(1))
        await looking.look()
        assert shard.next() is shard.all[0]


async def test_there_is_a_limit_to_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many addresses those known before are kept, and it is said once that some are not used."""
    logs = captured(monkeypatch, replicas)
    known = Addresses(*addresses(MAX_REPLICAS - 1))
    async with discovered(known, NAME) as (shard, looking):
        before = shard.all
        known.found["shard"] = (*[f"127.0.0.2:{port}" for port in range(1, 4)], *addresses(MAX_REPLICAS - 1))
        for _ in range(2):
            await looking.look()
        assert shard.all[:-1] == before
        assert targets_of(shard)[-1] == "127.0.0.2:1"
        assert [line["unused"] for line in logs if line["log_level"] == "warning"] == [2]


async def test_one_that_left_finishes_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is gone answers the calls in hand; then its connection is closed."""
    async with copied(1, 1) as served:
        [[copy]], [[target]] = served.copies, served.targets
        known = Addresses(target)
        client = Shards([[NAME]], timeout_s=60, resolve=known.resolve)
        await client._discovery.look()
        [shard] = client._sets.in_use.shards
        [replica] = shard.all
        going_on = asyncio.Event()
        monkeypatch.setattr(copy.fault, "strike", going_on.wait)
        call = asyncio.create_task(client.search(search()))
        await until(lambda: replica.in_hand == 1 and bool(copy.remaining_s))
        known.found["shard"] = (addresses(1)[0],)
        await client._discovery.look()
        assert replica not in shard.all
        assert len(shard._leaving) == 1
        going_on.set()
        assert ids((await call).candidates) == ranked()
        await until(lambda: not shard._leaving)
        await client.close()


async def test_closing_does_not_wait_for_those_that_left() -> None:
    """A client that is closed closes also what still has calls in hand."""
    known = Addresses(*addresses(2))
    async with discovered(known, NAME) as (shard, looking):
        with shard.all[0].at_work():
            known.found["shard"] = (addresses(2)[1],)
            await looking.look()
            await shard.close()
        assert not shard._leaving


async def test_what_a_replica_reflected_is_remembered_when_it_leaves() -> None:
    """One that starts anew is behind also when the one that was farther has gone."""
    first, second = addresses(2)
    known = Addresses(first)
    async with discovered(known, NAME) as (shard, looking):
        shard.all[0].welcome(7)
        known.found["shard"] = (second,)
        await looking.look()
        [new] = shard.all
        new.state = State.CATCHING_UP
        new.welcome(3)
        assert shard.is_behind(new)


@pytest.mark.parametrize("seed", range(3))
async def test_no_call_fails_when_addresses_come_and_go(seed: int) -> None:
    """Whatever replicas are found from moment to moment, every search is answered whole."""
    chance = random.Random(seed)
    async with copied(2, 4) as served:
        known = Addresses()
        _choose(known, served, chance)
        client = Shards([["dns:///shard-0:1"], ["dns:///shard-1:1"]], timeout_s=60, resolve=known.resolve)
        await client._discovery.look()
        answers = 0

        async def caller() -> None:
            nonlocal answers
            while True:
                found = await client.search(search())
                assert not found.missing
                assert ids(found.candidates) == ranked()
                answers += 1

        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(caller()) for _ in range(CALLERS)]
            looking = group.create_task(client._sets.watch())
            for _ in range(40):
                before = answers
                _choose(known, served, chance)
                await client._discovery.look()
                await _reached(lambda: answers, before + chance.randrange(12))
            for task in (*callers, looking):
                task.cancel()
        await until(lambda: not any(shard._leaving for shard in client._sets.in_use.shards))
        await client.close()


async def _reached(count: Callable[[], int], wanted: int) -> None:
    await until(lambda: count() >= wanted)


def _choose(known: Addresses, served: CopySet, chance: random.Random) -> None:
    for shard, targets in enumerate(served.targets):
        known.found[f"shard-{shard}"] = tuple(chance.sample(targets, chance.randrange(1, len(targets) + 1)))


async def test_names_are_resolved_before_anything_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas are there as soon as the client is at work, and new ones are found while it is."""
    monkeypatch.setattr(discovery, "PERIOD_S", 0.05)
    monkeypatch.setattr(shard_sets, "PERIOD_S", 0.05)
    async with copied(1, 2) as served:
        [targets] = served.targets
        known = Addresses(targets[0])
        client = Shards([[NAME]], timeout_s=60, resolve=known.resolve)
        async with client.watched(lambda: None):
            assert ids((await client.search(search())).candidates) == ranked()
            known.found["shard"] = tuple(targets)
            await until(lambda: _is_caught_up(client, 2))
        await client.close()


def _is_caught_up(client: Shards, count: int) -> bool:
    states = [replica.state for replica in client._sets.in_use.replicas]
    return states == [State.CAUGHT_UP] * count
