from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner, Result

from vitrine.cli.main import app
from vitrine.sizing import FIGURES

CHART = Path(__file__).resolve().parents[3] / "deploy" / "helm" / "vitrine"


def _size(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["size", *arguments])


def test_people_see_pods_numbers_and_where_they_are_from() -> None:
    """Every figure is told with its source, the machine once, and assumptions as what they are."""
    result = _size("--products", "50M", "--qps", "2000")
    assert result.exit_code == 0, result.output
    for words in ("vectorsearch", "embedder", "gateway", "ranker", "redis", "network"):
        assert words in result.stdout
    assert "benchmarks/results/gateway.json uncached_cpu_ms_per_request" in result.stdout
    assert "as much work as a photo, assumed" in result.stdout
    assert "measured on 2 cores of a Xeon" in result.stdout
    assert "200,000 were measured" in result.stderr


def test_json_has_the_figures_of_each_number() -> None:
    """Programs get what people see, and the values of the chart."""
    told = json.loads(_size("--products", "300k", "--qps", "50", "--json").stdout)
    assert told["demand"]["products"] == 300_000
    assert told["pods"]["vectorsearch"]["count"] == told["shards"] * told["replicas"]
    cores = next(each for each in told["quantities"] if each["part"] == "ranker")
    assert cores["figures"]["rank"]["value"] == FIGURES["rank"].value
    assert told["target_utilisation"] == 0.6
    assert told["values"]["vectorsearch"]["sets"]["a"]["shards"] == told["shards"]


@pytest.mark.parametrize(
    ("word", "products"),
    [
        ("50000", 50_000),
        ("50,000", 50_000),
        ("1,500k", 1_500_000),
        ("1.5M", 1_500_000),
        ("12,345,678", 12_345_678),
    ],
)
def test_numbers_are_read_as_they_are_written(word: str, products: int) -> None:
    """Commas are between thousands, and a letter stands for more of them."""
    assert (
        json.loads(_size("--products", word, "--qps", "1", "--json").stdout)["demand"]["products"] == products
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--products", "2k", "--qps", "1"),
        ("--products", "50M", "--qps", "2000", "--device", "cuda", "--index", "ivf"),
        ("--products", "50M", "--qps", "5000"),
        (
            "--products",
            "3M",
            "--qps",
            "200",
            "--spaces",
            "clip,triplet",
            "--index",
            "hnsw",
            "--replicas",
            "3",
        ),
    ],
)
def test_values_are_the_charts(arguments: tuple[str, ...]) -> None:
    """What `--values` prints is YAML that the chart's schema allows, and says what the JSON says."""
    printed = yaml.safe_load(_size(*arguments, "--values").stdout)
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(printed)
    assert printed == json.loads(_size(*arguments, "--json").stdout)["values"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--products", "many", "--qps", "1"), "error: --products: 'many' is not a number"),
        (("--products", "1,5M", "--qps", "1"), "error: --products: '1,5M' is not a number"),
        (("--products", "1,5000", "--qps", "1"), "error: --products: '1,5000' is not a number"),
        (("--products", "0", "--qps", "1"), "error: --products: 0 is not 1 to"),
        (("--products", "200M", "--qps", "200"), "error: --shard-memory-gib: 64 of the 64 shards"),
        (("--products", "1k", "--qps", "1", "--spaces", "vgg"), "error: --spaces: are one or more"),
        (("--products", "1k", "--qps", "1", "--image-share", "2"), "error: --image-share: 2 is not 0 to 1"),
    ],
)
def test_what_cannot_be_is_a_usage_error(arguments: tuple[str, ...], said: str) -> None:
    """The option is named."""
    result = _size(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
