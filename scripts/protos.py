"""Generate `vitrine/v1` from `protos/vitrine/v1`: messages, gRPC stubs and their types.

    python scripts/protos.py            write what differs
    python scripts/protos.py --check    write nothing, exit 1 when anything differs

The output depends on the protos and on the pinned versions of grpcio-tools and mypy-protobuf alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
PACKAGE = Path("vitrine/v1")
GENERATED = "*_pb2*.py*"
PLUGINS = {name: Path(sys.executable).parent / name for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")}


def generate(out: Path) -> dict[Path, bytes]:
    """Run protoc into the empty directory `out`; return path within the repository -> content."""
    arguments = [
        "protoc",
        f"-I{SOURCES}",
        f"-I{files('grpc_tools') / '_proto'}",
        *(f"--plugin={name}={path}" for name, path in PLUGINS.items()),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *(str(path) for path in sorted((SOURCES / PACKAGE).glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protos: protoc failed")
    return {path.relative_to(out): path.read_bytes() for path in sorted((out / PACKAGE).glob(GENERATED))}


def present() -> dict[Path, bytes]:
    """What `vitrine/v1` holds now, by path within the repository."""
    return {path.relative_to(ROOT): path.read_bytes() for path in sorted((ROOT / PACKAGE).glob(GENERATED))}


def main() -> int:
    """Write the stubs, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when anything differs")
    check = parser.parse_args().check

    with tempfile.TemporaryDirectory() as directory:
        new = generate(Path(directory))
    old = present()
    differing = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    if check:
        for path in differing:
            print(f"protos: {path} is not what the protos say; run `make protos`", file=sys.stderr)
        return 1 if differing else 0
    for path in differing:
        if path in new:
            (ROOT / path).write_bytes(new[path])
        else:
            (ROOT / path).unlink()
        print(f"protos: {'wrote' if path in new else 'removed'} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
