from pathlib import Path

import pytest

from services.mesh.errors import InvalidArgument
from vitrine.supervisor.layout import (
    CACHE_VARIABLE,
    STORE_VARIABLE,
    Layout,
    data_dir_default,
    shown_url,
)


def test_ports_follow_the_base() -> None:
    """Every service has its place above the base, and its metrics a thousand ports higher."""
    layout = Layout(20000, 8000, shards=2)
    assert layout.addresses == {
        "embedder": "127.0.0.1:20001",
        "ranker": "127.0.0.1:20002",
        "vectorsearch-0": "127.0.0.1:20009",
        "vectorsearch-1": "127.0.0.1:20010",
        "gateway": "127.0.0.1:20000",
    }
    assert layout.metrics_url("vectorsearch-1") == "http://127.0.0.1:21010/metrics"
    assert len(layout.ports) == 11
    assert layout.ports[8000] == "HTTP"


def test_services_are_told_of_each_other_and_of_their_directories() -> None:
    """Each process gets what it needs in its own variables alone, the gateway last."""
    services = Layout(shards=2).services(Path("/data"), Path("/models"), drain_s=5.0)
    assert [service.name for service in services][-1] == "gateway"
    by_name = {service.name: service for service in services}
    gateway = by_name["gateway"].environment
    assert gateway["VITRINE_GATEWAY_SHARDS"] == "127.0.0.1:50060,127.0.0.1:50061"
    assert gateway["VITRINE_GATEWAY_DATA_DIR"] == "/data/gateway"
    shard = by_name["vectorsearch-1"]
    assert shard.environment["VITRINE_VECTORSEARCH_SHARD"] == "1"
    assert shard.environment["VITRINE_VECTORSEARCH_PORT"] == "50061"
    assert shard.command[-2:] == ("-m", "services.vectorsearch")
    assert by_name["ranker"].environment["VITRINE_RANKER_MODELS_DIR"] == "/models"
    for service in services:
        prefix = f"VITRINE_{service.name.partition('-')[0].upper()}_"
        assert all(key.startswith(prefix) for key in service.environment)


def test_the_gateway_alone_is_told_of_a_store_and_a_cache() -> None:
    """Where they are given; else its own settings hold, which may be in the environment."""
    services = Layout().services(
        Path("/data"), Path("/models"), drain_s=5.0, store_url="mongodb://h/shop", cache_url="redis://h/0"
    )
    told = {service.name: dict(service.environment) for service in services}
    assert told["gateway"][STORE_VARIABLE] == "mongodb://h/shop"
    assert told.pop("gateway")[CACHE_VARIABLE] == "redis://h/0"
    assert not any(name.endswith("_URL") for variables in told.values() for name in variables)
    (gateway,) = Layout().services(Path("/data"), Path("/models"), drain_s=5.0)[-1:]
    assert not {STORE_VARIABLE, CACHE_VARIABLE} & set(gateway.environment)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:secret@h/0", "redis://@h/0"),
        ("mongodb://me:sec@ret@h1:1,h2:2/shop?tls=true&password=secret", "mongodb://me@h1:1,h2:2/shop"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    """What is told of a URL has its user and hosts, and nothing that opens them."""
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((0, 8080, 1), "port-base"), ((65000, 8080, 1), "port-base"), ((50051, 0, 1), "http-port")]
    + [((50051, 8080, shards), "shards") for shards in (0, 65)],
)
def test_ports_that_do_not_exist_are_refused(arguments: tuple[int, int, int], field: str) -> None:
    """A layout that would leave the range of ports names the option."""
    with pytest.raises(InvalidArgument) as caught:
        Layout(*arguments)
    assert caught.value.field == field


def test_directories_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables name them, or else the places where programs of a user keep such things."""
    monkeypatch.setenv("VITRINE_DATA_DIR", "/somewhere")
    assert data_dir_default() == Path("/somewhere")
    monkeypatch.delenv("VITRINE_DATA_DIR")
    assert data_dir_default() == Path.home() / ".local/share/vitrine"
