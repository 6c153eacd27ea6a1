"""Says who calls, and whether they call too often."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from services.gateway import metrics
from services.gateway.access import caller as callers
from services.gateway.access import credential as credentials
from services.gateway.access import key_text
from services.gateway.access.caller import Caller
from services.gateway.access.credential import Credential
from services.gateway.access.key_ring import KeyRing
from services.gateway.access.limits import Limiter
from services.gateway.access.peers import network_of
from services.gateway.access.tokens import TokenReader
from services.mesh.errors import ResourceExhausted, Unauthenticated, VitrineError
from services.mesh.rates import Buckets
from vitrine.v1 import access_pb2

BOOTSTRAP = Caller("apiKeys/bootstrap", access_pb2.SCOPE_ADMIN)

STRANGERS_PER_S = 10.0
"""Keys that do not exist cost a look into the store; one network may try so many a second."""

_TOKEN_DOTS = 2


class Gatekeeper:
    """Every request of gRPC and HTTP passes `admit` first, before its body is read.

    With `is_open` anybody is let in. `admin_key_hash` is the SHA-256 of one more key, with which the first
    keys are made; none when empty. `tokens` is None where no token is taken. `rate_limit_per_s` is for
    callers without one of their own, 0 for no limit.
    """

    def __init__(
        self,
        *,
        is_open: bool,
        keys: KeyRing,
        tokens: TokenReader | None = None,
        admin_key_hash: bytes = b"",
        limiter: Limiter,
        rate_limit_per_s: float = 0.0,
    ) -> None:
        self._is_open = is_open
        self._keys = keys
        self._tokens = tokens
        self._admin_key_hash = admin_key_hash
        self._limiter = limiter
        self._rate_limit_per_s = rate_limit_per_s
        self._strangers = Buckets()

    @property
    def lets_all_pass(self) -> bool:
        """Whether `admit` has nothing to look at, and need not be asked."""
        return self._is_open and not self._rate_limit_per_s

    async def admit(self, *, credential: Credential | None, peer: str) -> Caller:
        """The caller, who from now on is `caller.current()` in this task.

        `peer` is the caller's network address, as gRPC or ASGI tell it. Raises Unauthenticated for no
        credential or one that is not good, ResourceExhausted (RATE_LIMITED) for one caller's too many
        requests, Unavailable (STORE_UNAVAILABLE) when a key is not known here and the store is away.
        """
        try:
            caller = await self._admitted(credential, peer)
        except VitrineError as error:
            metrics.ACCESS_REFUSED.labels(error.reason).inc()
            raise
        callers.enter(caller)
        return caller

    async def admit_call(self, metadata: Mapping[str, str | bytes], peer: str) -> None:
        """The same for a gRPC server."""
        await self.admit(credential=None if self._is_open else credentials.of_headers(metadata), peer=peer)

    async def _admitted(self, credential: Credential | None, peer: str) -> Caller:
        if self._is_open:
            caller, bucket = callers.OPEN, f"peer/{network_of(peer)}"
        else:
            caller = await self._identified(credential, peer)
            bucket = caller.id
        rate_per_s = caller.rate_limit_per_s or self._rate_limit_per_s
        if rate_per_s:
            wait_s = await self._limiter.take(bucket, rate_per_s)
            if wait_s > 0:
                raise _too_many(rate_per_s, wait_s)
        return caller

    async def _identified(self, credential: Credential | None, peer: str) -> Caller:
        if credential is None:
            raise Unauthenticated(
                "needs a key or a token, as authorization: Bearer or as x-api-key",
                reason="CREDENTIAL_MISSING",
            )
        secret = credential.secret
        fingerprint = key_text.fingerprint(secret)
        if self._admin_key_hash and hmac.compare_digest(fingerprint, self._admin_key_hash):
            return BOOTSTRAP
        key_id = key_text.id_in(secret)
        if key_id is not None:
            return await self._holder(key_id, fingerprint, peer)
        if self._tokens is not None and secret.count(".") == _TOKEN_DOTS:
            return self._tokens.caller(secret)
        # It may be a guess at the admin key, which somebody has thought of.
        network = self._admitted_stranger(peer)
        self._strangers.take_now(network, STRANGERS_PER_S)
        raise Unauthenticated("the key is not valid", reason="KEY_INVALID")

    async def _holder(self, key_id: str, fingerprint: bytes, peer: str) -> Caller:
        if not self._keys.is_new(key_id):
            return await self._keys.caller(key_id, fingerprint)
        network = self._admitted_stranger(peer)
        try:
            return await self._keys.caller(key_id, fingerprint)
        except Unauthenticated:
            self._strangers.take_now(network, STRANGERS_PER_S)
            raise

    def _admitted_stranger(self, peer: str) -> str:
        """The network of a caller whose key is not known; raises ResourceExhausted for too many such keys."""
        network = network_of(peer)
        wait_s = self._strangers.wait_s(network, STRANGERS_PER_S)
        if wait_s > 0:
            raise _too_many(STRANGERS_PER_S, wait_s)
        return network


def _too_many(rate_per_s: float, wait_s: float) -> ResourceExhausted:
    return ResourceExhausted(
        f"more than {rate_per_s:g} requests a second", reason="RATE_LIMITED", retry_after_s=wait_s
    )
