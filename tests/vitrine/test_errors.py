from __future__ import annotations

import vitrine.errors
from services.mesh import errors


def test_every_error_of_the_domain_can_be_caught() -> None:
    """What the mesh can raise has a public name."""
    raised = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.VitrineError)
    }
    assert set(vitrine.errors.__all__) == raised
