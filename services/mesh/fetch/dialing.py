"""Connections that cannot lead into private networks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.fetch.addresses import AllowedHosts, is_public
from services.mesh.resolving import Lookups

Resolve = Callable[[str], Awaitable[Sequence[str]]]

# As in an `httpcore.AsyncNetworkBackend`.
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]

# A host with more addresses than this that do not answer is down.
MAX_ADDRESSES_TRIED = 4

# Not those that other services are found with: whoever names hosts that nobody knows waits for them alone.
_LOOKUPS = Lookups(64)
system_addresses = _LOOKUPS.addresses


class PublicDialer(httpcore.AsyncNetworkBackend):
    """Resolves a host itself, looks at what came back, and has `dial` connect to exactly that.

    What was checked is what is connected to, so a name that changes its address in between (DNS rebinding)
    gains nothing, and neither does an odd spelling of an IP address. TLS and the Host header are none of a
    backend's business: they go by the name in the address.
    """

    def __init__(
        self, *, allowed: AllowedHosts, resolve: Resolve, dial: httpcore.AsyncNetworkBackend
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._dial = dial

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # The interface is httpcore's.
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to `host`, found and made within `timeout` seconds.

        Raises InvalidArgument (URI_REFUSED) for a host that is not public, Unavailable (URI_UNAVAILABLE) for
        one that has no address, and httpcore's ConnectError or ConnectTimeout where none of them answers.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        addresses = await self._addresses(host, timeout)
        # One address that is not public condemns them all: no honest host has such a mixture, and what never
        # half works cannot be probed address by address.
        if host not in self._allowed and not all(is_public(address) for address in addresses):
            raise InvalidArgument(
                "uri", "the address leads to a host that is not public", reason="URI_REFUSED"
            )
        tried = addresses[:MAX_ADDRESSES_TRIED]
        failure: Exception | None = None
        for index, address in enumerate(tried):
            # The time is shared out, so that one address that swallows packets leaves some for the next.
            share_s = None if ends_at is None else (ends_at - time.monotonic()) / (len(tried) - index)
            try:
                return await self._dial.connect_tcp(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def _addresses(
        self,
        host: str,
        timeout: float | None,  # noqa: ASYNC109  # Handed on from the interface above.
    ) -> Sequence[str]:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        # The resolver's codec for names raises UnicodeError.
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            raise Unavailable("the host of the address was not found", reason="URI_UNAVAILABLE")
        return addresses
