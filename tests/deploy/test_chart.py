from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

import vitrine
from scripts import chart_docs, chart_values
from services.gateway.settings import GatewaySettings
from tests.deploy.cases import CASES
from tests.deploy.charts import (
    CHART,
    EXAMPLES,
    HELMS,
    LATEST,
    NAME,
    NAMESPACE,
    VERSIONS,
    Object,
    helm,
    merged,
    render,
    set_at,
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", HELMS)
def test_helm_finds_nothing_to_complain_of(name: str, case: str) -> None:
    """`helm lint --strict` of both releases passes for the defaults, every example and with everything on."""
    said = helm(name, "lint", "--strict", str(CHART), values=CASES[case])
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_there_are_the_examples_that_the_docs_name() -> None:
    """One to try, one for production on GPUs, one of many shards."""
    assert {"minimal", "gpu-production", "multi-shard"} <= set(EXAMPLES)
    assert VERSIONS[0] == "1.25"
    assert len(VERSIONS) >= 13


@pytest.mark.parametrize("case", CASES)
def test_every_kubernetes_and_both_helms_are_served(case: str) -> None:
    """The chart renders for every release of Kubernetes, and both releases of Helm make the same of it."""
    with ThreadPoolExecutor(2) as pool:
        releases = list(pool.map(lambda version: render(CASES[case], version=version), VERSIONS))
        older = list(
            pool.map(
                lambda version: render(CASES[case], version=version, with_helm="helm3"), (VERSIONS[0], LATEST)
            )
        )
    assert all(release.objects for release in releases)
    key = {(each["kind"], each["metadata"]["name"]): each for each in releases[-1].objects}
    assert {(each["kind"], each["metadata"]["name"]): each for each in older[1].objects} == key
    assert len(older[0].objects) == len(releases[0].objects)


def test_versions_are_one() -> None:
    """The chart, its application, and the package that the images hold have one version."""
    shown = dict(
        line.split(": ", 1)
        for line in helm("helm4", "show", "chart", str(CHART)).splitlines()
        if ": " in line
    )
    assert shown["appVersion"].strip('"') == vitrine.__version__
    assert shown["version"] == vitrine.__version__


def test_a_release_fits_into_its_secret(tmp_path: Path) -> None:
    """Helm keeps the chart and what it rendered in one Secret of at most 1 MiB: half of that leaves room."""
    helm("helm4", "package", str(CHART), "--destination", str(tmp_path))
    (packed,) = tmp_path.glob("*.tgz")
    manifests = gzip.compress(json.dumps(render(CASES["everything"]).objects).encode())
    assert packed.stat().st_size + len(manifests) < 512 * 1024


def test_the_schema_and_the_readme_are_as_generated() -> None:
    """Who changes a value or a setting writes both anew with `python -m scripts.chart_docs`."""
    for path, text in chart_docs.files().items():
        assert path.read_text(encoding="utf-8") == text, path.name


def _notes(values: Object) -> str:
    said = helm(
        "helm4", "install", NAME, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", values=values
    )
    return said.partition("\nNOTES:\n")[2]


def test_notes_tell_what_was_installed_and_what_it_lacks() -> None:
    """Who installs without saying anything reads how to reach it and every risk; who has set all, no risk."""
    risky = _notes({})
    assert f"svc/{NAME}-vitrine-gateway 8080" in risky
    assert f"helm test {NAME} -n {NAMESPACE}" in risky
    assert "SQLite on a volume, one gateway" in risky
    for risk in ("Access is open", "one gateway", "one replica", "plain text", "scrape", "localhost"):
        assert risk in risky.partition("Look at this")[2], risk

    safe = _notes(CASES["gpu-production"])
    assert "https://search.example.com/" in safe
    assert "MongoDB" in safe
    assert "Look at this" not in safe

    assert f"rules.existing: {NAME}-vitrine-adapter-rules" in safe
    assert "at least every 720h" in safe
    secret = safe.partition("The Secret vitrine-keys must have")[2]
    assert "feed-key" in secret
    assert "admin-key-hash" in secret

    named = _notes(
        merged(CASES["everything"], {"tls": {"existingSecret": "own", "certManager": {"enabled": False}}})
    )
    names = named.partition("must have these names:")[2]
    services = {each["metadata"]["name"] for each in render(CASES["everything"]).of("Service")}
    assert services
    assert all(f"- {service}\n" in names for service in services)


def test_notes_tell_of_keys_that_nobody_knows() -> None:
    """With a key of shards alone a new catalogue has no key at all, so the first one's hash is asked for."""
    keys: Object = {"access": {"mode": "keys", "feedKey": "vk_example"}}
    assert "There is no access.adminKeyHash" in _notes(keys)
    assert "There is no access.adminKeyHash" not in _notes(
        merged(keys, set_at("access.adminKeyHash", "0" * 64))
    )


def test_notes_tell_of_sets_that_nobody_searches() -> None:
    """The default set stays beside sets that users name, unless they take it out."""
    sets: Object = {"vectorsearch": {"sets": {"b": {"shards": 2}}, "current": "b"}}
    assert "Set a is neither" in _notes(sets)
    assert "is neither" not in _notes(merged(sets, set_at("vectorsearch.sets.a", None)))
    assert "is neither" not in _notes(CASES["multi-shard"])


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_tell_which_secrets_they_need(example: str) -> None:
    """Whoever follows the comment at the top has every Secret that variables are taken from."""
    release = render(CASES[example])
    needed = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for pod in release.pods()
        for container in pod.all_containers
        for variable in container.get("env", ())
        if "secretKeyRef" in variable.get("valueFrom", {})
    } - {each["metadata"]["name"] for each in release.of("Secret")}
    text = (CHART / f"examples/{example}.yaml").read_text(encoding="utf-8")
    assert [name for name in needed if f"create secret generic {name} " not in text] == []


def test_the_example_for_production_goes_with_what_is_around_it() -> None:
    """The adapter finds its rules, nginx waits for the longest call, gateways go by their processors too."""
    release = render(CASES["gpu-production"])
    rules = release.named("ConfigMap", f"{NAME}-vitrine-adapter-rules")
    assert rules is not None
    assert rules["metadata"]["namespace"] == "monitoring"
    ingresses = list(release.of("Ingress"))
    assert len(ingresses) == 2
    for ingress in ingresses:
        for name in ("read", "send"):
            waits_s = ingress["metadata"]["annotations"][f"nginx.ingress.kubernetes.io/proxy-{name}-timeout"]
            assert float(waits_s) > GatewaySettings().write_timeout_s
    scaler = release.named("HorizontalPodAutoscaler", f"{NAME}-vitrine-gateway")
    assert scaler is not None
    metrics = {metric["type"]: metric for metric in scaler["spec"]["metrics"]}
    assert metrics["Resource"]["resource"]["target"]["averageUtilization"] == 70
    assert metrics["Pods"]["pods"]["metric"]["name"] == "vitrine_server_inflight"
    # Where it is empty, nothing but calls in hand counts.
    calls = render(merged(CASES["gpu-production"], set_at("gateway.autoscaling.targetCPU", "")))
    alone = calls.named("HorizontalPodAutoscaler", f"{NAME}-vitrine-gateway")
    assert alone is not None
    assert [metric["type"] for metric in alone["spec"]["metrics"]] == ["Pods"]


@pytest.mark.parametrize(
    ("renew_before", "limit_s"), [("720h", 25 * 86_400), ("48h30m", 145_500), ("1h", 3_000)]
)
def test_old_certificates_are_told_of_in_time(renew_before: str, limit_s: int) -> None:
    """An alert says who has run for longer than five sixths of what its certificate had left at least."""
    values = merged(CASES["everything"], set_at("tls.certManager.renewBefore", renew_before))
    (rule,) = _certificate_rules(values)
    assert rule["alert"] == "VitrineCertificateOld"
    assert rule["expr"].endswith(f"> {limit_s}")
    assert f'namespace="{NAMESPACE}"' in rule["expr"]
    assert rule["annotations"]["runbook_url"] == "docs/runbooks.md#vitrinecertificateold"
    assert "{{ $labels.pod }}" in rule["annotations"]["summary"]


def test_nobody_is_told_of_certificates_that_are_not_cert_managers() -> None:
    """Of a Secret of the user's it is not known when it is renewed."""
    own = {"tls": {"existingSecret": "own", "certManager": {"enabled": False}}}
    assert _certificate_rules(merged(CASES["everything"], own)) == []


def _certificate_rules(values: Object) -> list[Object]:
    (rules,) = render(values).of("PrometheusRule")
    return [
        rule
        for group in rules["spec"]["groups"]
        if group["name"] == "vitrine-certificates"
        for rule in group["rules"]
    ]


def test_releases_in_long_namespaces_share_no_cache() -> None:
    """What Redis' names begin with fits into the setting, and is another one for each release."""
    found = set()
    for name in ("one", "two"):
        printed = helm(
            "helm4",
            "template",
            name,
            str(CHART),
            "--namespace",
            "n" * 63,
            values={"cache": {"url": "redis://r"}},
        )
        (gateway,) = (
            each
            for each in yaml.load_all(printed, yaml.CSafeLoader)
            if each and each["kind"] == "Deployment" and each["metadata"]["name"].endswith("gateway")
        )
        variables = {
            each["name"]: each for each in gateway["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        found.add(variables["VITRINE_GATEWAY_CACHE_NAMESPACE"]["value"])
    assert len(found) == 2
    assert all(GatewaySettings(cache_namespace=namespace) for namespace in found)


def test_comments_of_values_arrive_whole() -> None:
    """A comment goes into schema and README to its end, also where a line begins with dashes of its own."""
    (value,) = chart_values.parse("# -- What\n# --new says, and `--old`.\nkey: 1\n")
    assert value.description == "What --new says, and `--old`."
    for value in chart_values.load():
        for each in value.walk():
            assert each.description.count("`") % 2 == 0, each.dotted
    described = {each.dotted: each.description for value in chart_values.load() for each in value.walk()}
    assert "`vitrine keys hash --new`" in described["access.adminKeyHash"]
