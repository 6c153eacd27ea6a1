"""A DNS server on loopback, whose names change their addresses while processes ask for them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

# What the cluster DNS of Kubernetes gives answers about services (CoreDNS, plugins kubernetes and cache).
TTL_S = 5.0

_MAX_QUERY_BYTES = 4096


class Names:
    """Names and their addresses, as a server over UDP tells them.

    What it has told of a name it tells for `ttl_s`, as servers between a process and the truth do.
    """

    def __init__(self, *, ttl_s: float = TTL_S) -> None:
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._addresses: dict[str, list[str]] = {}
        self._told: dict[str, tuple[float, list[str]]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    def target(self, name: str, port: int) -> str:
        """What stands for all addresses of a name, with this server to ask."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/{name}:{port}"

    def add(self, name: str, address: str) -> None:
        """Let a name have one more address."""
        with self._lock:
            self._addresses[name] = [*self._addresses.get(name, []), address]

    def remove(self, name: str, address: str) -> None:
        """Let a name have an address no more."""
        with self._lock:
            self._addresses[name] = [each for each in self._addresses[name] if each != address]

    @contextmanager
    def served(self) -> Iterator[None]:
        """Answer queries meanwhile."""
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield
        finally:
            # Closing would not wake the thread; an empty query is what it ends at.
            self._socket.sendto(b"", self._socket.getsockname())
            thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while True:
            data, caller = self._socket.recvfrom(_MAX_QUERY_BYTES)
            if not data:
                return
            self._socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), caller)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        """Addresses for A, nothing for what else may be asked (AAAA, SRV, TXT)."""
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA | dns.flags.AA
        [question] = query.question
        addresses = self._current(question.name.to_text(omit_final_dot=True).lower())
        if addresses and question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, int(self._ttl_s), "IN", "A", *addresses))
        return answer

    def _current(self, name: str) -> list[str]:
        with self._lock:
            now = time.monotonic()
            told_at_s, told = self._told.get(name, (-self._ttl_s, []))
            # That there is nothing is not remembered: callers would wait for a start.
            if not told or now - told_at_s >= self._ttl_s:
                told = list(self._addresses.get(name, []))
                self._told[name] = (now, told)
            return told
