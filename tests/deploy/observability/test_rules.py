from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.deploy.cases import CASES as INSTALLATIONS
from tests.deploy.charts import Object, merged, render, set_at
from tests.deploy.observability import rules

CASES = sorted((rules.ROOT / "tests" / "deploy" / "rules").glob("*.yaml"))
(CERTIFICATES,) = (file for file in CASES if file.stem == "certificates")
RUNBOOKS = (rules.ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
# The rules' own, and the one that the chart makes of when certificates are renewed.
ALERTS = {rule["alert"] for rule in rules.rules("alert")} | {"VitrineCertificateOld"}
PARTS = ("**Means.**", "**Users see.**", "**Look at.**", "**Do.**")


def promtool(*arguments: object) -> str:
    run = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=900
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def section(alert: str) -> str:
    """What the runbooks say of an alert."""
    _, _, rest = RUNBOOKS.partition(f"\n### {alert}\n")
    return rest.partition("\n### ")[0].partition("\n## ")[0]


@pytest.mark.parametrize("name", rules.FILES)
def test_the_files_are_valid(name: str) -> None:
    """`promtool` reads every expression and every template in them."""
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", rules.FOLDER / f"{name}.yaml")


def of_certificates() -> Object:
    """The group of rules that the chart makes of when certificates are renewed."""
    renewed = set_at("tls.certManager.renewBefore", "1h")
    (made,) = render(merged(INSTALLATIONS["everything"], renewed)).of("PrometheusRule")
    (group,) = (group for group in made["spec"]["groups"] if group["name"] == "vitrine-certificates")
    return dict(group)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases of that group, beside a file of it."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "certificates.rules.yaml").write_text(yaml.safe_dump({"groups": [of_certificates()]}))
    return Path(shutil.copy(CERTIFICATES, folder))


def test_the_chart_s_own_rule_is_valid(certificates: Path) -> None:
    """So is what is not in any of them."""
    file = certificates.with_suffix(".rules.yaml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", file)


@pytest.fixture(scope="module")
def verdicts(certificates: Path) -> Iterator[dict[Path, Future[str]]]:
    """What `promtool` says of each file of cases. It uses one core, and the largest file takes it longest."""
    with ThreadPoolExecutor(2) as pool:
        largest_first = sorted(CASES, key=lambda file: file.stat().st_size, reverse=True)
        yield {
            file: pool.submit(promtool, "test", "rules", certificates if file == CERTIFICATES else file)
            for file in largest_first
        }


@pytest.mark.parametrize("cases", CASES, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(cases: Path, verdicts: dict[Path, Future[str]]) -> None:
    """Each case names all the alerts that fire at a time."""
    assert "SUCCESS" in verdicts[cases].result()


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """And as many cases in which nothing does as there are files at least."""
    fired: set[str] = set()
    quiet = 0
    for file in CASES:
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for looked in case["promql_expr_test"]:
                names = [
                    re.findall(r'alertname="(\w+)"', sample["labels"]) for sample in looked["exp_samples"]
                ]
                fired |= {name for found in names for name in found}
                quiet += not names
    assert fired == ALERTS
    assert quiet >= len(fired)


def test_every_alert_tells_who_should_act_and_how() -> None:
    """A severity, a summary, a description with what was measured, and its place in the runbooks."""
    for rule in [*rules.rules("alert"), *of_certificates()["rules"]]:
        name = rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert "$value" in rule["annotations"]["description"] or "$value" in rule["annotations"]["summary"], (
            name
        )
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_runbook_explains_the_alert(alert: str) -> None:
    """What it means, what users see of it, where to look and what to do."""
    said = section(alert)
    assert [part for part in PARTS if part not in said] == []


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    """The headings of the runbooks are the alerts."""
    assert set(re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE)) == ALERTS
