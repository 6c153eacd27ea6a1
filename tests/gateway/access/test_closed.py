from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from services.gateway.access import policy
from services.mesh.errors import Unauthenticated
from tests.gateway.rigs import rigged


async def test_nothing_is_reached_without_a_caller(tmp_path: Path) -> None:
    """Where keys are asked for, every RPC of every flow is closed to who has not been admitted."""
    async with rigged(tmp_path, access="keys") as rig:
        gateway = rig.gateway
        flows: dict[str, Any] = {
            "SearchService": gateway.search,
            "CatalogService": gateway.catalog,
            "FeedService": gateway.feed,
            "QueryService": gateway.queries,
            "AccessService": gateway.access.flow,
            "StatusService": gateway.status,
        }
        assert flows.keys() == policy.SERVICES.keys()
        for name, service in policy.SERVICES.items():
            for method in service.methods:
                behaviour = getattr(flows[name], re.sub("(?<=[a-z])(?=[A-Z])", "_", method.name).lower())
                answer = behaviour(method.input_type._concrete_class())
                with pytest.raises(Unauthenticated):
                    await (anext(answer) if inspect.isasyncgen(answer) else answer)
