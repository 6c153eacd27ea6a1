"""The HTTP API under requests made from its own description, and from what the description forbids.

`VITRINE_FUZZ_REQUESTS` says how many each operation gets of either kind, and `VITRINE_FUZZ_SEED` which.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis import openapi as schemathesis_openapi
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.http import search, serve
from tests.gateway.http.conftest import reachable
from tests.gateway.http.fakes import Flows, HttpSettings, Media, products
from tests.gateway.rigs import rigged
from tests.ports import reserved

pytestmark = pytest.mark.faults

REQUESTS = int(os.environ.get("VITRINE_FUZZ_REQUESTS", "8"))
SEED = int(os.environ.get("VITRINE_FUZZ_SEED", "1"))
TIMEOUT_S = 60.0
# What only the mesh, or the rest of the world, can tell: a question too early, an address that leads nowhere.
NO_FAULT = {"REVISION_NOT_REACHED", "SHARDS_BEHIND", "URI_UNAVAILABLE"}

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@contextlib.asynccontextmanager
async def served(gateway: Any) -> AsyncIterator[str]:
    """The real HTTP server over a gateway's flows; its address."""
    with reserved() as port:
        # A machine that stands still for a second is no fault of the server.
        told = HttpSettings(http_port=port, default_timeout_s=TIMEOUT_S)
        serving = asyncio.create_task(serve(told, gateway))
        await reachable(port, serving)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def fuzz(url: str, known: Mapping[str, str]) -> Counter[int]:
    """Ask everything of every operation; how often each status was answered.

    Requests as described name what there is, `known`; those that are not name anything.
    """
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        description = session.get(f"{url}/openapi.json", timeout=TIMEOUT_S).json()
        described = schemathesis_openapi.from_dict(description)
        operations = [result.ok() for result in described.get_all_operations() if isinstance(result, Ok)]
        assert len(operations) == described.statistic.operations.total
        # What is deleted cannot be asked for.
        for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
            named = {one.name for one in operation.path_parameters}
            places = {name: value for name, value in known.items() if name in named}
            for mode, place in ((GenerationMode.POSITIVE, places), (GenerationMode.NEGATIVE, {})):
                ask(operation, mode, place, session, url, statuses)
    return statuses


def ask(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    places: dict[str, str],
    session: requests.Session,
    url: str,
    statuses: Counter[int],
) -> None:
    """Requests of one kind to one operation."""
    cases = operation.as_strategy(generation_mode=mode, path_parameters=places or None)

    @seed(f"{SEED}: {operation.label}")
    @settings(
        max_examples=REQUESTS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def asked(case: Case[Any]) -> None:
        response = case.call(base_url=url, session=session, timeout=TIMEOUT_S)
        statuses[response.status_code] += 1
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            assert response.json()["reason"] in NO_FAULT, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS)

    # Where nothing can be said, nothing can be said wrongly: probes.
    with contextlib.suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else contextlib.nullcontext():
        asked()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TIMEOUT_S", TIMEOUT_S)


async def test_every_answer_over_fakes_is_as_described(tmp_path: Path) -> None:
    """Whatever is asked of the HTTP layer, it answers as its description says, and never with 5xx."""
    media = Media(tmp_path)
    known = {"catalog": "demo", "product": "bag-red-men", "generation": "g2", "query_id": "q1"}
    async with served(Flows(media, products(media))) as url:
        statuses = await asyncio.to_thread(fuzz, url, known)
    assert statuses[200] > 0
    assert statuses[201] > 0
    assert statuses[400] > 0


async def test_every_answer_over_real_flows_is_as_described(tmp_path: Path) -> None:
    """The same with real flows and a real store."""
    known = {"catalog": "shop", "product": "p1", "generation": "g1"}
    async with rigged(tmp_path, embed_timeout_s=TIMEOUT_S) as rig:
        await rig.fill(6)
        async with served(rig.gateway) as url:
            statuses = await asyncio.to_thread(fuzz, url, known)
    assert statuses[200] > 0
    assert statuses[201] > 0
    assert statuses[400] > 0
