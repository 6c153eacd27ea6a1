from __future__ import annotations

from typing import Any

import pytest
import typer
from jsonschema import Draft7Validator
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from scripts import chart_settings
from scripts.chart_settings import SERVICES, SET_BY_CHART
from services.gateway.settings import GatewaySettings
from services.mesh.settings import ServiceSettings
from tests.deploy.cases import CASES
from tests.deploy.charts import Object, Pod, Release, merged, render, set_at
from tests.deploy.conftest import Counts
from tests.deploy.containers import PREFIX, environment, load, loaded, main_container, service
from vitrine.cli.main import app

# What the chart gives the class of embedders on GPUs is looked at without one.
_COMPONENTS = tuple(SERVICES)


def _serving(release: Release) -> list[Pod]:
    return [pod for pod in release.pods() if service(pod)]


def _ours(pod: Pod, release: Release) -> dict[str, str]:
    variables = environment(main_container(pod), release)
    return {name: value for name, value in variables.items() if name.startswith(PREFIX)}


@pytest.mark.parametrize("case", CASES)
def test_services_start_with_what_the_chart_tells_them(case: str) -> None:
    """Each service reads its settings from exactly its container's environment, and finds nothing wrong."""
    release = render(CASES[case])
    pods = _serving(release)
    assert {"gateway", "embedder", "ranker", "vectorsearch"} <= {pod.component for pod in pods}
    for pod in pods:
        settings = load(pod, release)
        prefix = str(type(settings).model_config["env_prefix"])
        strangers = [name for name in _ours(pod, release) if not name.startswith(prefix)]
        assert strangers == [], pod.name
        ports = {port["name"]: port["containerPort"] for port in main_container(pod)["ports"]}
        assert ports["grpc"] == settings.port
        assert ports["health"] == settings.health_port
        assert ports.get("metrics", 0) == settings.metrics_port
        assert settings.host == "0.0.0.0"
        if isinstance(settings, GatewaySettings) and pod.component == "gateway":
            assert ports["http"] == settings.http_port
            assert settings.http_host == "0.0.0.0"


def test_settings_that_are_not_there_are_noticed() -> None:
    """A variable that no setting has, and a value that is none, are refused: the check above can fail."""
    release = render({})
    pod = next(pod for pod in _serving(release) if pod.component == "ranker")
    variables = environment(main_container(pod), release)
    with pytest.raises(ValueError, match="VITRINE_RANKER_SPEED"):
        loaded("ranker", variables | {"VITRINE_RANKER_SPEED": "1"}, [])
    with pytest.raises(ValueError, match="VITRINE_RANKER_PORT"):
        loaded("ranker", variables | {"VITRINE_RANKER_PORT": "fast"}, [])


def _another(known: dict[str, Any], name: str) -> Any:
    """A value that a setting may have and does not have by itself."""
    special = {"index_kinds": "flat", "media_redirect_hosts": ["a.example"], "more_models_dirs": ["/older"]}
    if name in special:
        return special[name]
    if "enum" in known:
        return known["enum"][-1]
    match known["type"]:
        case "array":
            return ["https://shop.example"] if name == "cors_origins" else ["one.example", "two.example"]
        case "integer":
            # Large, where it may be: a number that Helm would write with an exponent.
            return min(known.get("maximum", 1 << 40), max(known.get("minimum", 0), 123_456_789))
        case "number":
            low = known.get("minimum", known.get("exclusiveMinimum", 0))
            high = known.get("maximum", known.get("exclusiveMaximum", low + 2))
            return (low + high) / 2
        case _:
            return "text"


@pytest.mark.parametrize("component", _COMPONENTS)
def test_every_setting_arrives_as_it_is_written(component: str, counts: Counts) -> None:
    """What stands in `settings` is what the service reads, to the digit."""
    known = chart_settings.schema(component)["properties"]
    wanted = {name: _another(each, name) for name, each in known.items()}
    # What says something of several settings together.
    if component == "embedder":
        wanted |= {"max_queued_items": 100_000, "max_queued_bytes": 1 << 36}
    assert list(Draft7Validator(chart_settings.schema(component)).iter_errors(wanted)) == []
    values: Object = merged(CASES["everything"], set_at(f"{component}.settings", wanted))
    if component == "gateway":
        # A call in hand may take as long as a write.
        for other in ("gateway", "ranker", "embedder", "vectorsearch"):
            values = merged(values, {other: {"drainSeconds": 600}})
        values = merged(values, {"gateway": {"settings": {"write_timeout_s": 599.5}}})
        wanted["write_timeout_s"] = 599.5
    release = render(values)
    pods = [pod for pod in _serving(release) if pod.component == component]
    assert pods
    for pod in pods:
        settings = load(pod, release).model_dump(mode="json")
        # The chart itself names the directory of older models, where there are some.
        expected = wanted | (
            {"more_models_dirs": settings["more_models_dirs"]} if component == "embedder" else {}
        )
        assert {name: settings[name] for name in wanted} == expected
    # The feed's are the gateway's.
    counts.add("settings", len(wanted) if component != "feed" else 0)


@pytest.mark.parametrize("component", _COMPONENTS)
def test_every_setting_can_be_reached(component: str, counts: Counts) -> None:
    """A setting is either the user's, or the chart gives it in an example; there is no third kind."""
    cls: type[ServiceSettings] = SERVICES[component]
    by_chart = SET_BY_CHART[component]
    assert by_chart <= cls.model_fields.keys()
    assert set(chart_settings.given(component)) | by_chart == set(cls.model_fields)
    prefix = str(cls.model_config["env_prefix"])
    given = {
        name.removeprefix(prefix).lower()
        for values in CASES.values()
        for release in [render(values)]
        for pod in _serving(release)
        if SERVICES[pod.component] is cls
        for name in _ours(pod, release)
    }
    assert by_chart - given == chart_settings.WITHOUT_USE.get(component, set())
    counts.add("settings", len(by_chart) if component != "feed" else 0)


def test_what_the_chart_sets_goes_before_what_users_add() -> None:
    """No variable stands in a container twice, also where `settings` name what the chart gives."""
    release = render(CASES["everything"])
    for pod in _serving(release):
        names = [variable["name"] for variable in main_container(pod)["env"]]
        assert len(names) == len(set(names)), pod.name


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_all_services_listen_where_pods_have_addresses(address: str) -> None:
    """One value says whether all ports of all services are those of IPv4 or of IPv6 as well."""
    release = render(merged(CASES["everything"], {"listenAddress": address}))
    hosts = [
        value
        for pod in _serving(release)
        for name, value in _ours(pod, release).items()
        if name.endswith("_HOST")
    ]
    assert len(hosts) > len(SERVICES)
    assert set(hosts) == {address}


@pytest.mark.parametrize("case", CASES)
def test_jobs_run_commands_that_there_are(case: str) -> None:
    """The command line of each job and of the test is one that `vitrine` takes, and so is its environment."""
    known = _variables(typer.main.get_command(app))
    for pod in render(CASES[case]).pods():
        if service(pod) or pod.runs_on:
            continue
        container = main_container(pod)
        assert container["command"] == ["vitrine"]
        _parse(container["args"])
        given = {variable["name"] for variable in container["env"]}
        assert {name for name in given if name.startswith(PREFIX)} <= known, pod.name


def _variables(command: Any) -> set[str]:
    """Every environment variable that a command, or one below it, reads."""
    own = {parameter.envvar for parameter in command.params if parameter.envvar}
    return own.union(*(_variables(each) for each in getattr(command, "commands", {}).values()))


def _parse(arguments: list[str]) -> None:
    """Read a command line as `vitrine` does, and run nothing; UsageError where it is none."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while isinstance(command, TyperGroup):
        _, command, rest = command.resolve_command(command.make_context("vitrine", rest[:1] or ["-"]), rest)
    command.make_context("vitrine", rest)


def test_wrong_command_lines_are_noticed() -> None:
    """A command or an option that there is not is refused: the check above can fail."""
    with pytest.raises(UsageError):
        _parse(["indexx", "products.csv"])
    with pytest.raises(UsageError):
        _parse(["index", "products.csv", "--catalogue", "x"])
