from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from services.gateway.access.credential import Credential
from services.gateway.access.opening import opened
from services.gateway.access.policy import SERVICES
from services.gateway.settings import GatewaySettings
from services.mesh.errors import ResourceExhausted, Unauthenticated
from tests.gateway.access import signed
from tests.gateway.access.stores import FakeKeyStore
from vitrine.v1 import access_pb2


def settings(**fields: Any) -> GatewaySettings:
    return GatewaySettings(**fields)


@pytest.mark.parametrize(
    ("fields", "addresses"),
    [
        ({}, []),
        ({"host": "localhost", "http_host": "::1"}, []),
        ({"host": "0.0.0.0"}, ["0.0.0.0"]),
        ({"host": "::", "http_host": "10.0.0.7"}, ["10.0.0.7", "::"]),
        ({"host": "0.0.0.0", "http_host": "0.0.0.0", "access": "keys"}, []),
        (
            {"host": "0.0.0.0", "tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a"},
            [],
        ),
    ],
)
async def test_open_to_the_world_is_told(
    fields: dict[str, Any], addresses: list[str], lines: list[MutableMapping[str, Any]]
) -> None:
    """A gateway that asks nobody for a key and can be reached from elsewhere warns at its start."""
    async with opened(settings(**fields), FakeKeyStore()):
        pass
    warned = [line["addresses"] for line in lines if line["log_level"] == "warning"]
    assert warned == ([addresses] if addresses else [])


async def test_keys_are_made_by_who_may() -> None:
    """Where keys are asked for, nobody makes one without being known."""
    async with opened(settings(access="keys"), FakeKeyStore()) as access:
        with pytest.raises(Unauthenticated):
            await access.flow.create_api_key(access_pb2.CreateApiKeyRequest())


async def test_a_missing_file_of_keys_stops_the_start(tmp_path: Path) -> None:
    """A gateway that is told of a file that is not there does not start."""
    told = settings(
        access="keys", jwt_keys_file=tmp_path / "jwks.json", jwt_issuer="https://id.example", jwt_audience="v"
    )
    with pytest.raises(OSError, match="jwks"):
        async with opened(told, FakeKeyStore()):
            pass


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--access", "closed"], "ACCESS"),
        (["--admin-key-hash", "secret"], "ADMIN_KEY_HASH"),
        (["--jwt-keys-file", "jwks.json"], "jwt_issuer"),
        (["--jwt-keys-file", "jwks.json", "--jwt-issuer", "https://id.example"], "jwt_audience"),
        (["--rate-limit-per-s", "-1"], "RATE_LIMIT_PER_S"),
    ],
)
def test_settings_that_would_let_too_many_in_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting of access that is wrong stops the process with its name."""
    with pytest.raises(SystemExit):
        GatewaySettings.load(arguments)
    assert told in capsys.readouterr().err


def test_all_services_of_a_gateway_are_known() -> None:
    """Each service that a gateway serves can be guarded by its name."""
    assert SERVICES.keys() == {
        "SearchService",
        "CatalogService",
        "FeedService",
        "QueryService",
        "AccessService",
        "StatusService",
    }


async def test_a_token_lets_in_where_there_are_keys_for_it(tmp_path: Path) -> None:
    """A gateway that is told of an identity service's keys takes its tokens beside its own keys."""
    file = tmp_path / "jwks.json"
    signed.write(file, signed.public("ES256"))
    told = settings(
        access="keys",
        jwt_keys_file=file,
        jwt_issuer=signed.ISSUER,
        jwt_audience=signed.AUDIENCE,
    )
    async with opened(told, FakeKeyStore()) as access:
        token = Credential(signed.token("ES256"))
        assert (await access.gatekeeper.admit(credential=token, peer="")).id == "jwt/importer"
    async with opened(settings(access="keys"), FakeKeyStore()) as access:
        with pytest.raises(Unauthenticated):
            await access.gatekeeper.admit(credential=token, peer="")


async def test_a_redis_that_is_away_stops_nothing() -> None:
    """Limits that were to be shared in Redis are counted here when it cannot be reached."""
    told = settings(rate_limit_per_s=0.001, cache_url="redis://127.0.0.1:1/0")
    async with opened(told, FakeKeyStore()) as access:
        await access.gatekeeper.admit(credential=None, peer="10.0.0.7")
        with pytest.raises(ResourceExhausted):
            await access.gatekeeper.admit(credential=None, peer="10.0.0.7")
