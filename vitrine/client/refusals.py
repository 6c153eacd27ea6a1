"""Failed calls as errors of the domain, in words that help where nothing answered at all."""

from __future__ import annotations

import re
from typing import cast

import grpc

from services.mesh.errors import Unavailable, VitrineError
from services.mesh.status import from_rpc_error

# The reason of the Unavailable that no server sent.
NO_ANSWER = "NO_ANSWER"
# The same where somebody is there, but no encrypted connection came about.
NO_TLS = "NO_TLS"
UNREACHED = frozenset({NO_ANSWER, NO_TLS})

# What gRPC's core says of a connection that was made and did not last.
_HANDSHAKE = "handshake failed"
_REFUSED = re.compile("backends failing.*(?:Socket closed|Connection reset)", re.DOTALL)
# What it says when one broke while a call was under way.
_LOST = re.compile("Stream removed|Socket closed|Connection reset|keepalive", re.IGNORECASE)
# Of all that it says of a handshake, what BoringSSL calls the problem.
_PROBLEM = re.compile("OPENSSL_internal:([A-Z_]+(?:: [a-z][a-z ]+)?)")


def domain_error(server: str, error: grpc.RpcError, *, trace_id: str = "") -> VitrineError:
    """The domain error behind a failed call to `server`.

    One that the gateway sent has the trace id as a note, by which its log lines are found.
    """
    call = cast("grpc.aio.AioRpcError", error)
    answered = any(key == "grpc-status-details-bin" for key, _ in call.trailing_metadata() or ())
    if call.code() is grpc.StatusCode.UNAVAILABLE and not answered:
        return _unreached(server, call.details() or "")
    found = from_rpc_error(call)
    if answered and trace_id:
        found.add_note(f"trace {trace_id}")
    return found


def _unreached(server: str, details: str) -> Unavailable:
    """What no server said, from what gRPC's core says."""
    if _HANDSHAKE in details:
        problem = _PROBLEM.search(details)
        why = problem[1].replace("_", " ").lower() if problem else details
        return Unavailable(f"no encrypted connection to {server}: {why}", reason=NO_TLS)
    if _REFUSED.search(details):
        return Unavailable(
            f"{server} closes the connection: it may want TLS, or a certificate of its callers", reason=NO_TLS
        )
    if _LOST.match(details):
        return Unavailable(f"the connection to {server} broke before the answer came", reason=NO_ANSWER)
    return Unavailable(f"nothing answers at {server}: is `vitrine up` running?", reason=NO_ANSWER)
