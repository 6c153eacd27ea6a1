"""The access control that a gateway's settings ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from services.gateway.access.flow import AccessFlow
from services.gateway.access.gatekeeper import Gatekeeper
from services.gateway.access.guard import Flow, guarded
from services.gateway.access.key_ring import KeyRing
from services.gateway.access.limits import Limiter
from services.gateway.access.peers import is_loopback
from services.gateway.access.policy import SERVICES
from services.gateway.access.redis_limits import RedisLimiter
from services.gateway.access.tokens import TokenReader
from services.gateway.settings import GatewaySettings
from services.gateway.store.keys import KeyStore
from services.mesh.rates import Buckets

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in, and the flow that makes keys."""

    gatekeeper: Gatekeeper
    flow: AccessFlow
    is_open: bool

    def guard(self, flow: Flow, service: str) -> Flow:
        """`flow` for callers who may do what they ask, as `guarded`."""
        return guarded(flow, SERVICES[service], is_open=self.is_open)


@asynccontextmanager
async def opened(settings: GatewaySettings, keys: KeyStore) -> AsyncIterator[Access]:
    """Access control over a store of keys; raises OSError when the file of token keys cannot be used."""
    is_open = settings.access == "open"
    if is_open:
        _warn_where_all_may_come(settings)
    ring = KeyRing(keys, timeout_s=settings.store_timeout_s)
    tokens = None
    if settings.jwt_keys_file is not None:
        tokens = TokenReader(
            settings.jwt_keys_file, issuer=settings.jwt_issuer, audience=settings.jwt_audience
        )
    async with AsyncExitStack() as stack:
        gatekeeper = Gatekeeper(
            is_open=is_open,
            keys=ring,
            tokens=tokens,
            admin_key_hash=bytes.fromhex(settings.admin_key_hash),
            limiter=_limiter(settings, stack),
            rate_limit_per_s=settings.rate_limit_per_s,
        )
        flow = guarded(AccessFlow(keys, ring), SERVICES["AccessService"], is_open=is_open)
        yield Access(gatekeeper, flow, is_open)


def _limiter(settings: GatewaySettings, stack: AsyncExitStack) -> Limiter:
    url = settings.cache_url.get_secret_value()
    if not url:
        return Buckets()
    limiter = RedisLimiter(url, namespace=settings.cache_namespace, timeout_s=settings.cache_timeout_s)
    stack.push_async_callback(limiter.close)
    return limiter


def _warn_where_all_may_come(settings: GatewaySettings) -> None:
    # mTLS lets nobody in whose certificate was not given to them.
    hosts = [settings.http_host, *([settings.host] if settings.tls_client_ca is None else [])]
    reachable = [host for host in hosts if not is_loopback(host)]
    if reachable:
        _log.warning("access is open to everybody who can reach this address", addresses=reachable)
