from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from services.gateway.access import caller as callers
from services.gateway.access import key_text
from services.gateway.access.credential import Credential
from services.gateway.access.gatekeeper import BOOTSTRAP, STRANGERS_PER_S, Gatekeeper
from services.gateway.access.key_ring import KeyRing
from services.mesh.errors import ResourceExhausted, Unauthenticated, Unavailable
from services.mesh.rates import Buckets
from tests.gateway.access.stores import Clock, FakeKeyStore
from vitrine.v1 import access_pb2

PEER = "ipv4:10.0.0.7:4242"
ADMIN_KEY = "a key that somebody made with openssl"


@dataclass
class Gate:
    store: FakeKeyStore = field(default_factory=FakeKeyStore)
    clock: Clock = field(default_factory=Clock)

    def keeper(self, *, is_open: bool = False, rate_limit_per_s: float = 0.0) -> Gatekeeper:
        return Gatekeeper(
            is_open=is_open,
            keys=KeyRing(self.store, timeout_s=60, clock=self.clock),
            admin_key_hash=key_text.fingerprint(ADMIN_KEY),
            limiter=Buckets(clock=self.clock),
            rate_limit_per_s=rate_limit_per_s,
        )


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_key_lets_in(gate: Gate) -> None:
    """Who has a key is the caller of what follows."""
    key = gate.store.made()
    caller = await gate.keeper().admit(credential=Credential(key.text), peer=PEER)
    assert caller.id == f"apiKeys/{key.key_id}"
    assert callers.current() == caller


async def test_the_first_key_is_a_setting(gate: Gate) -> None:
    """The key whose hash is in the settings may do everything, also while the store is away."""
    gate.store.is_away = True
    assert await gate.keeper().admit(credential=Credential(ADMIN_KEY), peer=PEER) == BOOTSTRAP
    assert BOOTSTRAP.scope == access_pb2.SCOPE_ADMIN


async def test_without_that_setting_no_text_is_that_key(gate: Gate) -> None:
    """An empty hash matches nothing."""
    keeper = Gatekeeper(is_open=False, keys=KeyRing(gate.store, timeout_s=60), limiter=Buckets())
    with pytest.raises(Unauthenticated):
        await keeper.admit(credential=Credential(ADMIN_KEY), peer=PEER)


@pytest.mark.parametrize(
    "text", ["guess", "a.b.c", "vk_abcdefgh_" + "a" * 43, "vk_abcdefgh", "ключ", "\ud800"]
)
async def test_what_is_no_key_is_refused(gate: Gate, text: str) -> None:
    """Text that is no key, token or admin key is Unauthenticated, whatever it is."""
    with pytest.raises(Unauthenticated):
        await gate.keeper().admit(credential=Credential(text), peer=PEER)
    assert callers.current() is None


async def test_nobody_is_refused(gate: Gate) -> None:
    """A request without a credential is Unauthenticated, and told what it needs."""
    with pytest.raises(Unauthenticated, match="x-api-key") as refused:
        await gate.keeper().admit(credential=None, peer=PEER)
    assert refused.value.reason == "CREDENTIAL_MISSING"


async def test_a_refusal_does_not_repeat_the_credential(gate: Gate) -> None:
    """What was shown comes back in no message."""
    good = gate.store.made().text
    shown = good[:-1] + ("x" if good[-1] != "x" else "y")
    with pytest.raises(Unauthenticated) as refused:
        await gate.keeper().admit(credential=Credential(shown), peer=PEER)
    assert shown not in str(refused.value)


async def test_open_is_open(gate: Gate) -> None:
    """Where access is open nobody needs a key, and headers with another scheme disturb nobody."""
    keeper = gate.keeper(is_open=True)
    await keeper.admit_call({"authorization": "Basic dXNlcjpwYXNz"}, PEER)
    assert callers.current() == callers.OPEN
    assert keeper.lets_all_pass
    assert not gate.keeper().lets_all_pass
    assert not gate.keeper(is_open=True, rate_limit_per_s=1).lets_all_pass


class TestLimits:
    async def test_a_key_has_its_own(self, gate: Gate) -> None:
        """A key's own limit goes before the deployment's, and an exact time to wait comes back."""
        key = gate.store.made(access_pb2.ApiKey(scope=access_pb2.SCOPE_SEARCH, rate_limit_per_s=2))
        keeper = gate.keeper(rate_limit_per_s=0.1)
        for _ in range(4):
            await keeper.admit(credential=Credential(key.text), peer=PEER)
        with pytest.raises(ResourceExhausted) as refused:
            await keeper.admit(credential=Credential(key.text), peer=PEER)
        assert refused.value.reason == "RATE_LIMITED"
        assert refused.value.retry_after_s == pytest.approx(0.5)
        gate.clock.now_s += 0.5
        await keeper.admit(credential=Credential(key.text), peer=PEER)

    async def test_without_its_own_it_has_the_deployments(self, gate: Gate) -> None:
        """Keys without a limit share none: each has a bucket of the deployment's rate."""
        keeper = gate.keeper(rate_limit_per_s=0.5)
        for _ in range(2):
            key = gate.store.made()
            await keeper.admit(credential=Credential(key.text), peer=PEER)
            with pytest.raises(ResourceExhausted):
                await keeper.admit(credential=Credential(key.text), peer=PEER)

    async def test_open_callers_are_told_apart_by_address(self, gate: Gate) -> None:
        """Where access is open each address has a bucket, whatever the port."""
        keeper = gate.keeper(is_open=True, rate_limit_per_s=0.5)
        await keeper.admit(credential=None, peer="ipv4:10.0.0.7:1")
        with pytest.raises(ResourceExhausted):
            await keeper.admit(credential=None, peer="ipv4:10.0.0.7:2")
        await keeper.admit(credential=None, peer="ipv4:10.0.0.8:1")

    async def test_who_tries_keys_is_slowed_down(self, gate: Gate) -> None:
        """An address that shows keys that do not exist gets no look into the store after some, others do."""
        keeper = gate.keeper()
        good = gate.store.made()
        tries = int(STRANGERS_PER_S * 2)
        for _ in range(tries):
            with pytest.raises(Unauthenticated):
                await keeper.admit(credential=Credential(key_text.new_key().text), peer=PEER)
        assert gate.store.reads == tries
        with pytest.raises(ResourceExhausted):
            await keeper.admit(credential=Credential(key_text.new_key().text), peer=PEER)
        assert gate.store.reads == tries
        await keeper.admit(credential=Credential(good.text), peer="ipv4:10.0.0.8:4242")

    async def test_who_guesses_the_admin_key_is_slowed_down(self, gate: Gate) -> None:
        """An address that shows text of other forms is refused by limit after some."""
        keeper = gate.keeper()
        for number in range(int(STRANGERS_PER_S * 2)):
            with pytest.raises(Unauthenticated):
                await keeper.admit(credential=Credential(f"guess {number}"), peer=PEER)
        with pytest.raises(ResourceExhausted):
            await keeper.admit(credential=Credential("another guess"), peer=PEER)

    async def test_keys_in_use_are_not(self, gate: Gate) -> None:
        """A key that is known here works from an address that somebody tries keys from."""
        keeper = gate.keeper()
        good = gate.store.made()
        await keeper.admit(credential=Credential(good.text), peer=PEER)
        for _ in range(50):
            with pytest.raises((Unauthenticated, ResourceExhausted)):
                await keeper.admit(credential=Credential(key_text.new_key().text), peer=PEER)
        gate.clock.now_s += 100
        await keeper.admit(credential=Credential(good.text), peer=PEER)


async def test_a_store_that_is_away_is_told_as_such(gate: Gate) -> None:
    """A key that cannot be looked up is Unavailable: the caller did nothing wrong, and may try again."""
    key = gate.store.made()
    gate.store.is_away = True
    with pytest.raises(Unavailable):
        await gate.keeper().admit(credential=Credential(key.text), peer=PEER)
