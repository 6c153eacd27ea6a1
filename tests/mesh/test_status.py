from __future__ import annotations

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.mesh import errors, status

KINDS = [
    (errors.InvalidArgument("k", "too many"), grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound("gone"), grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists("taken"), grpc.StatusCode.ALREADY_EXISTS),
    (errors.Aborted("changed"), grpc.StatusCode.ABORTED),
    (errors.Unauthenticated("who"), grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDenied("not you"), grpc.StatusCode.PERMISSION_DENIED),
    (errors.FailedPrecondition("not yet"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.OutOfRange("too old"), grpc.StatusCode.OUT_OF_RANGE),
    (errors.DeadlineExceeded("late"), grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.ResourceExhausted("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable("away"), grpc.StatusCode.UNAVAILABLE),
    (errors.VitrineError("broken"), grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("error", "code"), KINDS, ids=lambda value: getattr(value, "name", ""))
def test_every_kind_has_its_code_and_its_details(error: errors.VitrineError, code: grpc.StatusCode) -> None:
    """ErrorInfo always, BadRequest for a field, RetryInfo where a retry makes sense."""
    assert status.code_of(error) is code
    found = status.to_status(error)
    assert found.code == code.value[0]
    kinds = [detail.type_url.rpartition(".")[2] for detail in found.details]
    expected = ["ErrorInfo"]
    expected += ["BadRequest"] * isinstance(error, errors.InvalidArgument)
    expected += ["RetryInfo"] * isinstance(error, errors.Retryable)
    assert kinds == expected
    info = error_details_pb2.ErrorInfo()
    found.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("vitrine", error.reason)


def test_the_text_of_a_field_error_names_it() -> None:
    """People who read only the message learn the field too."""
    code, text, trailing = status.abort_arguments(errors.InvalidArgument("k", "too many"))
    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "k: too many")
    ((key, value),) = trailing
    assert key == "grpc-status-details-bin"
    assert status_pb2.Status.FromString(value).message == text


class _Later(errors.Unavailable):
    """A kind of our own below one with a code."""


def test_a_kind_below_another_has_its_code() -> None:
    """Finer errors need no entry of their own."""
    assert status.code_of(_Later("x")) is grpc.StatusCode.UNAVAILABLE


def _failed(code: grpc.StatusCode, details: str | None = "x") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.CANCELLED, errors.Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (grpc.StatusCode.UNKNOWN, errors.VitrineError),
        (grpc.StatusCode.INTERNAL, errors.VitrineError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.VitrineError),
    ],
)
def test_errors_of_the_transport_are_understood(
    code: grpc.StatusCode, kind: type[errors.VitrineError]
) -> None:
    """What gRPC itself says, without details of ours, becomes the nearest kind."""
    assert type(status.from_rpc_error(_failed(code))) is kind


def test_an_error_without_a_text_is_called_by_its_code() -> None:
    """No error is mute."""
    assert status.from_rpc_error(_failed(grpc.StatusCode.UNAVAILABLE, None)).message == "UNAVAILABLE"


@pytest.mark.parametrize("error", [error for error, _ in KINDS], ids=lambda error: type(error).__name__)
def test_an_items_error_reads_back(error: errors.VitrineError) -> None:
    """The status of one item of a batch keeps kind, message, reason and field."""
    back = status.from_item(status.to_item(error))
    assert type(back) is type(error)
    assert (back.message, back.reason) == (error.message, error.reason)
    assert getattr(back, "field", None) == getattr(error, "field", None)


@given(st.floats(0, 86_400))
def test_times_to_wait_survive(retry_after_s: float) -> None:
    """Seconds go over the wire to the nanosecond."""
    found = status.to_status(errors.Unavailable("x", retry_after_s=retry_after_s))
    retry = error_details_pb2.RetryInfo()
    found.details[1].Unpack(retry)
    assert abs(retry.retry_delay.ToNanoseconds() / 1e9 - retry_after_s) < 2e-9
