"""Which addresses are fetched at all, by their looks. Where a host leads is looked at when it is dialled."""

from __future__ import annotations

import ipaddress
import re

import httpx

from services.mesh.errors import InvalidArgument
from services.mesh.fetch.addresses import AllowedHosts

MAX_CHARACTERS = 2048

# Pictures are served from these. On any other port of a public host, other services listen (mail, databases,
# remote shells), and this server must not be the one that knocks at them.
_PORTS = (80, 443, 8080, 8443)

# Odd spellings of an IP address such as `0x7f.1` pass here; the resolver reads them, and what it made of
# them is checked.
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")


def parse(uri: str, *, allowed: AllowedHosts) -> httpx.URL:
    """`uri`, taken apart, its host in ASCII and without a dot at the end.

    Raises InvalidArgument (field `uri`, URI_REFUSED) for what is no http or https address of at most 2,048
    characters with a host, or has a user name, or names an unusual port of a host that is not `allowed`.
    """
    if len(uri) > MAX_CHARACTERS:
        raise refused(f"the address has {len(uri)} characters, at most {MAX_CHARACTERS} are allowed")
    try:
        return _checked(httpx.URL(uri), allowed)
    # UnicodeError is a ValueError.
    except (httpx.InvalidURL, ValueError):
        raise refused("the address is not a valid one") from None


def redirected(url: httpx.URL, location: str, *, allowed: AllowedHosts) -> httpx.URL:
    """Where `url` redirects to, after the same checks. Raises InvalidArgument as `parse` does."""
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError):
        raise refused("the address redirects to one that is not valid") from None
    if url.scheme == "https" and target.scheme == "http":
        raise refused("the address redirects from https to http")
    return parse(str(target), allowed=allowed)


def refused(message: str) -> InvalidArgument:
    """The error for an address that this server does not fetch from."""
    return InvalidArgument("uri", message, reason="URI_REFUSED")


def _checked(url: httpx.URL, allowed: AllowedHosts) -> httpx.URL:
    if url.scheme not in ("http", "https"):
        raise refused("the address is neither http nor https")
    if url.userinfo:
        raise refused("the address has a user name")
    host = url.raw_host.decode("ascii").removesuffix(".")
    if ":" in host:
        ipaddress.IPv6Address(host)
    elif not _NAME.match(host):
        raise refused("the address has no valid host")
    if url.port is not None and not (url.port in _PORTS or (host in allowed and 0 < url.port < 1 << 16)):
        raise refused("the address has an unusual port")
    return url.copy_with(host=host)
