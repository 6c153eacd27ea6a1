from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.gateway.http import page, problems
from services.mesh import errors, trace

CASES = [
    (errors.InvalidArgument("k", "must be 1 to 100"), 400, "INVALID_ARGUMENT"),
    (errors.NotFound("gone"), 404, "NOT_FOUND"),
    (errors.AlreadyExists("there"), 409, "ALREADY_EXISTS"),
    (errors.Aborted("changed"), 409, "ABORTED"),
    (errors.Unauthenticated("who"), 401, "UNAUTHENTICATED"),
    (errors.PermissionDenied("not you"), 403, "PERMISSION_DENIED"),
    (errors.FailedPrecondition("not now", reason="MODEL_MISMATCH"), 400, "MODEL_MISMATCH"),
    (errors.OutOfRange("too old"), 400, "OUT_OF_RANGE"),
    (errors.DeadlineExceeded("too slow"), 504, "DEADLINE_EXCEEDED"),
    (errors.ResourceExhausted("full", retry_after_s=0.5), 429, "OVERLOADED"),
    (errors.Unavailable("away", retry_after_s=2), 503, "UNAVAILABLE"),
    (errors.VitrineError("broken"), 500, "INTERNAL"),
]


def test_every_domain_error_is_covered() -> None:
    """A new kind of error cannot be forgotten here."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.VitrineError)
    }
    assert kinds - {errors.Retryable} == {type(error) for error, _, _ in CASES}


@pytest.mark.parametrize(("error", "status", "reason"), CASES, ids=lambda value: type(value).__name__)
def test_a_domain_error_becomes_a_problem(error: errors.VitrineError, status: int, reason: str) -> None:
    """Status, reason and detail follow from the error, and the API page describes the kind of problem."""
    trace.begin()
    response = problems.of_error(error)
    problem = json.loads(bytes(response.body))
    assert response.status_code == problem["status"] == status
    assert response.media_type == "application/problem+json"
    assert (problem["reason"], problem["detail"]) == (reason, error.message)
    assert problem["trace_id"] == trace.current()
    described = (Path(page.STATIC) / "docs/index.html").read_text()
    assert f'id="{problem["type"].removeprefix("/docs/#")}"' in described


def test_a_field_is_named_only_when_there_is_one() -> None:
    """`field` is there for an invalid argument alone."""
    assert json.loads(bytes(problems.of_error(errors.InvalidArgument("k", "no")).body))["field"] == "k"
    assert "field" not in json.loads(bytes(problems.of_error(errors.NotFound("no")).body))


def test_a_retry_is_announced_in_whole_seconds() -> None:
    """The header rounds up what the document says exactly."""
    response = problems.of_error(errors.ResourceExhausted("full", retry_after_s=0.5))
    assert response.headers["retry-after"] == "1"
    assert json.loads(bytes(response.body))["retry_after"] == 0.5


@pytest.mark.parametrize("status", [400, 404, 405, 408, 413, 414, 415, 431])
def test_errors_of_http_itself_are_problems_too(status: int) -> None:
    """They too are described on the API page."""
    problem = json.loads(bytes(problems.of_status(status, "no").body))
    assert problem["status"] == status
    described = (Path(page.STATIC) / "docs/index.html").read_text()
    assert f'id="{problem["type"].removeprefix("/docs/#")}"' in described
