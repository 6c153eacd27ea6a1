from __future__ import annotations

import subprocess
import sys

import pytest

import vitrine.errors
from services.mesh import errors
from tests.vitrine.fake_gateway import FakeGateway


def test_every_error_of_the_domain_can_be_caught() -> None:
    """What the mesh can raise has a public name."""
    raised = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.VitrineError)
    }
    assert set(vitrine.errors.__all__) == raised


def test_the_base_of_all_errors_is_a_name_of_the_package() -> None:
    """`except vitrine.VitrineError` catches what any call can raise, and importing it stays light."""
    assert vitrine.VitrineError is errors.VitrineError
    code = "import sys, vitrine; vitrine.VitrineError; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_caller_who_prints_an_error_sees_its_field_once(gateway: FakeGateway) -> None:
    """What the gateway refuses names the field in `str`, and its message does not repeat it."""
    gateway.catalogs["shop"] = {}
    with (
        vitrine.Client(gateway.address, catalog="shop") as client,
        pytest.raises(vitrine.errors.InvalidArgument) as caught,
    ):
        client.search(text="a", k=0)
    assert str(caught.value) == "k: must be 1 to 100"
    assert caught.value.message == "must be 1 to 100"
