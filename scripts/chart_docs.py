"""Write what is generated of the chart: `values.schema.json` and `README.md`.

    python -m scripts.chart_docs            write what differs
    python -m scripts.chart_docs --check    write nothing, exit 1 when anything differs

Both are made of values.yaml with its comments, of the shapes in chart_shapes.py, and of the services' own
settings.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts import chart_schema, chart_settings, chart_shapes
from scripts.chart_values import CHART, Value, load

SCHEMA, README = "values.schema.json", "README.md"

_HEAD = """\
# Vitrine on Kubernetes

A Helm chart for Vitrine, visual product search as a mesh of gRPC services: gateways, embedders for each kind
of device, shards with replicas, rankers, and what keeps them running: probes, autoscaling, disruption
budgets, network policies, mutual TLS, monitors, rules and dashboards. It needs Kubernetes 1.25 or newer and
Helm 3 or 4.

## Install

```sh
scripts/images.sh build gateway ranker embedder-cpu vectorsearch-cpu models
helm install shop deploy/helm/vitrine --namespace shop --create-namespace --values my-values.yaml
helm test shop --namespace shop
```

Push the images to a registry of yours and name it as `global.imageRegistry`, unless they are on the nodes
already. The last command makes a small catalogue, searches it, and removes it. Begin `my-values.yaml` with
one of the examples:

{examples}

[docs/operations.md](../../../docs/operations.md) tells how large a deployment must be, and how to upgrade,
back up and restore it. `make chart` checks the chart.

## Values

A value that is a map is changed key by key. Whatever is misspelt or out of range is refused by `helm`, since
[values.schema.json](values.schema.json) holds every key. This file and that one are generated from
[values.yaml](values.yaml) and from the services' settings: `python -m scripts.chart_docs`.
"""
_SETTINGS = """
## Settings of the services

What `<component>.settings` may hold. The chart itself gives the settings that follow from other values, such
as addresses, ports and certificates. The feed has those of the gateway.
"""
_NARROW = 60


def files(chart: Path = CHART) -> dict[Path, str]:
    """The generated files as they should be."""
    values = load(chart)
    schema = chart_schema.schema(values)
    return {
        chart / SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        chart / README: "".join(_readme(chart, values, schema)),
    }


def _readme(chart: Path, values: tuple[Value, ...], schema: dict[str, Any]) -> Iterator[str]:
    yield _HEAD.format(examples="\n".join(_examples(chart)))
    single = [value for value in values if not value.children]
    yield from _table("General", "", single)
    for value in values:
        if value.children:
            yield from _table(f"`{value.path[0]}`", value.description, [value])
    yield _SETTINGS
    for component in chart_settings.SERVICES:
        # The feed is a gateway.
        if component != "feed":
            yield from _settings(component, schema)


def _examples(chart: Path) -> Iterator[str]:
    for path in sorted((chart / "examples").glob("*.yaml")):
        words: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not (comment := re.match(r"# ?(.*)$", line)) or not comment[1]:
                break
            words.append(comment[1])
        # The first sentence says what it is for.
        sentence = re.split(r"\. |[.:]$", " ".join(words), maxsplit=1)[0]
        yield f"- [{path.name}](examples/{path.name}): {sentence}."


def _table(title: str, text: str, values: list[Value]) -> Iterator[str]:
    yield f"\n### {title}\n\n"
    if text:
        yield f"{text}\n\n"
    yield "| Value | Default | What it is |\n| --- | --- | --- |\n"
    for value in values:
        for row in _rows(value):
            yield f"| `{row.dotted}` | {_shown(row.default)} | {_cell(row.description)} |\n"


def _rows(value: Value) -> Iterator[Value]:
    """The values to tell of: those with a comment, and no deeper where the shape is one of Kubernetes."""
    whole = not value.children or chart_shapes.shape(value.dotted) is not None
    if value.description and (whole or value.dotted in chart_schema.VARIANTS):
        yield value
    if not whole:
        for child in value.children:
            yield from _rows(child)


def _settings(component: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n### `{component}.settings`\n\n| Setting | What it is |\n| --- | --- |\n"
    for name, known in schema["properties"][component]["properties"]["settings"]["properties"].items():
        yield f"| `{name}` | {_cell(known['description'])} |\n"


def _shown(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _NARROW else "see values.yaml"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the files, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when anything differs")
    check = parser.parse_args().check
    try:
        wanted = files()
    except chart_schema.Untold as untold:
        print(f"chart: {untold}", file=sys.stderr)
        return 1
    stale = [
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if check:
            print(f"chart: {path.name} is not what values.yaml says; run `make chart`", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"chart: wrote {path.name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
