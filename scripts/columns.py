"""Write what the names of columns mean for the console's import: `python scripts/columns.py`.

The page reads tables as `vitrine index` does, so `columns.json` is made of the command's own table.
"""

from __future__ import annotations

import json
from pathlib import Path

from vitrine.catalogs import columns, photos, records, rows

FILE = Path(__file__).parents[1] / "services/gateway/http/static/columns.json"


def content() -> str:
    """The file as it should be."""
    known = {
        "aliases": {name: list(aliases) for name, aliases in columns.ALIASES.items()},
        "ignored": sorted(columns.IGNORED),
        "max_attributes": columns.MAX_ATTRIBUTES,
        "max_photos": rows.MAX_PHOTOS,
        "images": photos.IMAGES,
        "image_suffixes": list(photos.SUFFIXES),
        "csv_suffixes": list(records.CSV_SUFFIXES),
        "json_suffixes": list(records.JSON_SUFFIXES),
    }
    lines = (f" {json.dumps(name)}: {_written(value)}" for name, value in known.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _written(value: object) -> str:
    """The aliases with a line each, anything else in one."""
    if not isinstance(value, dict):
        return json.dumps(value)
    lines = (f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in value.items())
    return "{\n" + ",\n".join(lines) + "\n }"


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
