"""Pictures by address, from servers that nobody vouches for."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpcore
import httpx

import vitrine
from services.mesh import deadline
from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.fetch import rewriting, uris
from services.mesh.fetch.addresses import AllowedHosts
from services.mesh.fetch.dialing import PublicDialer, Resolve, system_addresses
from services.mesh.fetch.hosts import Host, Hosts, rate_limited, retry_after

USER_AGENT = f"vitrine/{vitrine.__version__}"

# Shorter than servers keep an idle connection, so that one is hardly ever used just when it is closed.
_KEEPALIVE_S = 4.0

URI_NOT_FOUND = "URI_NOT_FOUND"

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one fetch, all together, and one host may take.

    Memory: at most `max_concurrent` x 2 x `max_bytes` for pictures on their way.
    """

    max_bytes: int = 20 * 2**20
    timeout_s: float = 5.0
    connect_timeout_s: float = 3.0
    max_redirects: int = 3
    max_concurrent: int = 16
    max_concurrent_per_host: int = 4
    max_per_host_per_s: float = 10.0
    max_hosts: int = 4096


class Fetcher:
    """Fetches pictures within `limits` from public hosts, and from `allowed_hosts` wherever they are.

    Neither proxies nor passwords are taken from the environment, and cookies are not kept. `resolve` finds
    the addresses of a host, `dial` connects to one of them, and `ssl_context` says whom to trust: by default
    the well-known authorities, or those of the file that SSL_CERT_FILE names.
    """

    def __init__(
        self,
        limits: FetchLimits,
        *,
        allowed_hosts: Sequence[str] = (),
        resolve: Resolve = system_addresses,
        dial: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._allowed = AllowedHosts(allowed_hosts)
        self._hosts = Hosts(
            max_concurrent=limits.max_concurrent,
            max_concurrent_per_host=limits.max_concurrent_per_host,
            max_per_host_per_s=limits.max_per_host_per_s,
            max_hosts=limits.max_hosts,
        )
        # The pool itself and not httpx's client over it: the client offers no way to say how connections are
        # made, and all that it adds (redirects, cookies, proxies, decompression) is unwanted here.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            max_connections=limits.max_concurrent,
            max_keepalive_connections=limits.max_concurrent,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=PublicDialer(
                allowed=self._allowed, resolve=resolve, dial=dial or httpcore.AnyIOBackend()
            ),
        )

    async def fetch(self, uri: str) -> bytes:
        """What lies at `uri`, or at what `rewriting` makes of it. Whether it is a picture, the decoder says.

        Raises InvalidArgument (field `uri`) for an address that is not fetched from, or leads to one
        (URI_REFUSED), that gives nothing (URI_NOT_FOUND) or too much (IMAGE_TOO_LARGE); Unavailable
        (URI_UNAVAILABLE) where its host cannot be reached, fails or takes more than `timeout_s`;
        ResourceExhausted (URI_RATE_LIMITED) where its host wants fewer requests, or has as many as it gets;
        DeadlineExceeded when the caller's deadline passes.
        """
        ends_at = time.monotonic() + deadline.remaining_s(self._limits.timeout_s)
        *better, given = rewriting.alternatives(uri)
        for alternative in better:
            try:
                return await self._follow(alternative, ends_at)
            except InvalidArgument as error:
                if error.reason != URI_NOT_FOUND:
                    raise
        return await self._follow(given, ends_at)

    async def _follow(self, uri: str, ends_at: float) -> bytes:
        """What lies at `uri`, or where that redirects to."""
        url = uris.parse(uri, allowed=self._allowed)
        for _ in range(self._limits.max_redirects + 1):
            answer = await self._get(url, ends_at)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise uris.refused(f"the address redirects more than {self._limits.max_redirects} times")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _get(self, url: httpx.URL, ends_at: float) -> bytes | httpx.URL:
        """What lies at `url`, or where it redirects to."""
        request = httpcore.Request(
            "GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[
                (b"Host", url.netloc),
                (b"User-Agent", USER_AGENT.encode()),
                (b"Accept", b"image/*"),
                # What is sent is what is counted: a compressed body could be a thousand times as large.
                (b"Accept-Encoding", b"identity"),
            ],
            extensions={"timeout": {"connect": self._limits.connect_timeout_s}},
        )
        async with self._hosts.turn(url.host, wait_s=max(0.0, ends_at - time.monotonic())) as host:
            try:
                async with asyncio.timeout(ends_at - time.monotonic()):
                    response = await self._pool.handle_async_request(request)
                    try:
                        return await self._judge(url, host, response)
                    finally:
                        # A body that was not read to its end closes the connection.
                        await response.aclose()
            except TimeoutError:
                # The caller's deadline, if it was that, and else ours for this host.
                deadline.remaining_s(math.inf)
                raise _unavailable("the host of the address did not send the picture in time") from None
            except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
                raise _unavailable("the host of the address cannot be reached, or breaks off") from None

    async def _judge(self, url: httpx.URL, host: Host, response: httpcore.Response) -> bytes | httpx.URL:
        status = response.status
        headers = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
        hold_s = host.heed(status, retry_after(headers.get(b"retry-after")))
        if status >= 500:
            raise _unavailable(f"the host of the address answered {status}", retry_after_s=hold_s or 1.0)
        if hold_s is not None:
            raise rate_limited(f"the host of the address answered {status}", hold_s)
        if status in _REDIRECTS and b"location" in headers:
            return uris.redirected(url, headers[b"location"], allowed=self._allowed)
        if status != 200:
            raise _not_found(f"the host of the address answered {status}")
        if headers.get(b"content-encoding", "identity").strip().lower() != "identity":
            raise _not_found("the host of the address sent something compressed that was not asked for")
        # The parser below has seen to it that this is a number.
        if int(headers.get(b"content-length", 0)) > self._limits.max_bytes:
            raise self._too_large()
        return await self._body(response)

    async def _body(self, response: httpcore.Response) -> bytes:
        # One buffer, since a list of many tiny chunks would take a multiple of the memory they are meant to.
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > self._limits.max_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> InvalidArgument:
        return InvalidArgument(
            "uri",
            f"the address gives more than the {self._limits.max_bytes} bytes that are allowed",
            reason="IMAGE_TOO_LARGE",
        )


def _not_found(message: str) -> InvalidArgument:
    return InvalidArgument("uri", message, reason=URI_NOT_FOUND)


def _unavailable(message: str, *, retry_after_s: float = 1.0) -> Unavailable:
    return Unavailable(message, reason="URI_UNAVAILABLE", retry_after_s=retry_after_s)
