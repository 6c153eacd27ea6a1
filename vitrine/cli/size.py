"""`vitrine size`."""

from __future__ import annotations

import json as json_
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.mesh.errors import InvalidArgument
from vitrine import sizing
from vitrine.cli import output, tables
from vitrine.cli.options import JsonOption

if TYPE_CHECKING:
    from vitrine.sizing import Sizing

_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
# A comma is between thousands, and nothing else: who writes 1,5M means another number than 15M.
_NUMBER = re.compile(r"([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(\.[0-9]+)?([kMG]?)")


class IndexName(StrEnum):
    """A kind of index."""

    auto = "auto"
    sq8 = "sq8"
    flat16 = "flat16"
    ivf = "ivf"
    hnsw = "hnsw"


class DeviceName(StrEnum):
    """What embedders work on."""

    cpu = "cpu"
    cuda = "cuda"


def size(
    products: Annotated[str, typer.Option("--products", help="How many: 50000, 300k, 50M.")],
    qps: Annotated[str, typer.Option("--qps", help="Searches a second at the peak: 200, 2k.")],
    photos_per_product: Annotated[float, typer.Option("--photos-per-product", help="On average.")] = 1.2,
    image_share: Annotated[
        float, typer.Option("--image-share", help="Share of searches by photo; 0.7 without --text-share.")
    ] = 0.7,
    text_share: Annotated[
        float, typer.Option("--text-share", help="Share of searches by text; the rest is by product.")
    ] = 0.2,
    spaces: Annotated[str, typer.Option("--spaces", help="Spaces of the catalogue.")] = ",".join(
        sizing.DIMENSIONS
    ),
    index: Annotated[
        IndexName, typer.Option("--index", help="Kind of index of all spaces.")
    ] = IndexName.auto,
    device: Annotated[DeviceName, typer.Option("--device", help="What embedders work on.")] = DeviceName.cpu,
    writes_per_s: Annotated[float, typer.Option("--writes-per-s", help="Products written a second.")] = 0.0,
    cache_hit_ratio: Annotated[
        float, typer.Option("--cache-hit-ratio", help="Share of searches that the cache answers.")
    ] = 0.3,
    replicas: Annotated[int, typer.Option("--replicas", help="Replicas of a shard, at least.")] = 2,
    shard_memory_gib: Annotated[
        float, typer.Option("--shard-memory-gib", help="Memory that a shard's pod may have.")
    ] = 64.0,
    values: Annotated[bool, typer.Option("--values", help="Print values for the Helm chart alone.")] = False,
    json: JsonOption = False,
) -> None:
    """Reckon what a deployment takes, from what was measured.

    Each number comes with the figures that it stands on. They are for a start: measure your own.
    """
    count, rate = round(_number(products, "products")), _number(qps, "qps")
    try:
        found = sizing.size(
            sizing.Demand(
                products=count,
                qps=rate,
                photos_per_product=photos_per_product,
                image_share=image_share,
                text_share=text_share,
                spaces=tuple(space.strip() for space in spaces.split(",")),
                index=index.value,
                device=device.value,
                writes_per_s=writes_per_s,
                cache_hit_ratio=cache_hit_ratio,
                replicas=replicas,
                shard_memory_gib=shard_memory_gib,
            )
        )
    except InvalidArgument as error:
        raise InvalidArgument(f"--{error.field.replace('_', '-')}", error.message) from error
    if json:
        output.print_json(_as_json(found))
    elif values:
        output.out().print("\n".join(_yaml(found)), markup=False, soft_wrap=True)
    else:
        _show(found)


def _number(word: str, field: str) -> float:
    """What `50M`, `2.5k` and `50,000` mean."""
    found = _NUMBER.fullmatch(word.strip())
    if found is None:
        raise InvalidArgument(f"--{field}", f"{word!r} is not a number such as 50000, 50,000, 2.5k or 50M")
    return float(found[1].replace(",", "") + (found[2] or "")) * _FACTORS[found[3]]


def _as_json(found: Sizing) -> dict[str, object]:
    return {
        "demand": asdict(found.demand),
        "index": found.kind,
        "shards": found.shards,
        "replicas": found.replicas,
        "pods": {name: asdict(pods) for name, pods in found.pods.items()},
        "cores": found.cores,
        "memory_gib": found.memory_gib,
        "disk_gib": found.disk_gib,
        "target_utilisation": sizing.TARGET_UTILISATION,
        "quantities": [
            {**asdict(each), "figures": {name: asdict(sizing.FIGURES[name]) for name in each.figures}}
            for each in found.quantities
        ],
        "warnings": list(found.warnings),
        "values": sizing.values(found),
    }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _show(found: Sizing) -> None:
    tables.show(
        ("", "pods", "cores each", "GiB each"),
        ((name, str(pods.count), str(pods.cores), str(pods.memory_gib)) for name, pods in found.pods.items()),
        nothing="",
    )
    output.out().print(
        f"{found.cores:,} cores and {found.memory_gib:,} GiB in all: {_counted(found.shards, 'shard')} of "
        f"{_counted(found.replicas, 'replica')}, index {found.kind}; "
        f"cores {sizing.TARGET_UTILISATION:.0%} busy\n",
        soft_wrap=True,
    )
    tables.show(
        ("part", "number", "", "from", "figures"),
        (
            (
                each.part,
                each.name,
                f"{_rounded(each.value)} {each.unit}".strip(),
                each.how,
                " ".join(str(number) for number in _numbers(found, each.figures)),
            )
            for each in found.quantities
        ),
        nothing="",
        whole=("number", ""),
    )
    console = output.out()
    console.print("\nfigures")
    for number, name in enumerate(found.figures, start=1):
        console.print(f"  {number:>2}  {sizing.FIGURES[name]}", markup=False, soft_wrap=True)
    console.print(f"measured on {sizing.MACHINE}", soft_wrap=True)
    for warning in found.warnings:
        output.say(f"note: {warning}")


def _numbers(found: Sizing, names: tuple[str, ...]) -> Iterator[int]:
    return (found.figures.index(name) + 1 for name in names)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2g}"


def _yaml(found: Sizing) -> Iterator[str]:
    """The values as YAML: maps of maps, of words and of numbers."""
    demand = found.demand
    yield f"# For {demand.products:,} products and {demand.qps:g} searches a second, by `vitrine size`."
    yield "# The Secret vitrine-stores has `store-url` and `cache-url`, those of MongoDB and Redis."
    yield from _lines(sizing.values(found), "")


def _lines(values: Mapping[str, object], indent: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {json_.dumps(value)}"
