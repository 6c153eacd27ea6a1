from __future__ import annotations

import pytest

from services.mesh.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from vitrine.client.patience import Patience
from vitrine.client.refusals import NO_ANSWER

AWAY = Unavailable("nothing answers", reason=NO_ANSWER)


def test_the_wait_is_what_the_gateway_asked_for() -> None:
    """RetryInfo goes before the back-off, within reason."""
    patience = Patience(60, answered=True)
    assert 2.0 <= patience.delay_s(ResourceExhausted("full", retry_after_s=2.0)) < 2.5
    assert patience.delay_s(Unavailable("away", retry_after_s=3600)) == 5.0
    assert patience.delay_s(DeadlineExceeded("late")) <= 1.0


def test_what_a_retry_does_not_mend_is_raised() -> None:
    """A refusal is the caller's, whatever patience there is."""
    error = InvalidArgument("k", "must be 1 to 100")
    with pytest.raises(InvalidArgument) as caught:
        Patience(60, answered=True).delay_s(error)
    assert caught.value is error


def test_a_gateway_that_has_answered_once_may_restart() -> None:
    """Nobody there is the end for the first call alone."""
    with pytest.raises(Unavailable):
        Patience(60, answered=False).delay_s(AWAY)
    patience = Patience(60, answered=False)
    patience.delay_s(ResourceExhausted("full", retry_after_s=0.1))
    assert patience.delay_s(AWAY) > 0


def test_patience_ends() -> None:
    """A wait that would go beyond it is not begun."""
    with pytest.raises(ResourceExhausted):
        Patience(1.0, answered=True).delay_s(ResourceExhausted("full", retry_after_s=2.0))
