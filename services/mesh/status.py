"""The one place where domain errors become gRPC statuses, and the other way round.

The details follow AIP-193 and google/rpc/error_details.proto: ErrorInfo always, BadRequest for a field,
RetryInfo where a retry makes sense.
"""

from __future__ import annotations

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.mesh import errors
from vitrine.v1 import common_pb2

DOMAIN = "vitrine"

_CODES: dict[type[errors.VitrineError], int] = {
    errors.InvalidArgument: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.Aborted: code_pb2.ABORTED,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.OutOfRange: code_pb2.OUT_OF_RANGE,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
}
_ERRORS = {code: kind for kind, code in _CODES.items()}
_GRPC_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: errors.VitrineError) -> grpc.StatusCode:
    """The gRPC code of a domain error."""
    return _GRPC_CODES[_code(error)]


def to_status(error: errors.VitrineError) -> status_pb2.Status:
    """The full status, with details, of a domain error."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    details: list[any_pb2.Any] = [_packed(info)]
    if isinstance(error, errors.InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if isinstance(error, errors.Retryable):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=_code(error), message=str(error), details=details)


def abort_arguments(error: errors.VitrineError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Code, message and trailing metadata for `ServicerContext.abort`."""
    status = to_status(error)
    return code_of(error), status.message, (("grpc-status-details-bin", status.SerializeToString()),)


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.VitrineError:
    """The domain error behind a failed call.

    Codes that no service of ours sends on purpose (INTERNAL, UNKNOWN, ...) become `VitrineError` itself,
    which maps to INTERNAL; CANCELLED by the transport becomes `Unavailable`.
    """
    code = error.code()
    message = error.details() or code.name
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # An AioRpcError has what it reads.
    reason, field, retry_after_s = None, "", 1.0
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad_request) and bad_request.field_violations:
            field = bad_request.field_violations[0].field
            message = bad_request.field_violations[0].description
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    if code is grpc.StatusCode.CANCELLED:
        return errors.Unavailable(message, reason=reason, retry_after_s=retry_after_s)
    kind = _ERRORS.get(code.value[0])
    if kind is None:
        return errors.VitrineError(message, reason=reason)
    if issubclass(kind, errors.InvalidArgument):
        return kind(field, message, reason=reason)
    if issubclass(kind, errors.Retryable):
        return kind(message, reason=reason, retry_after_s=retry_after_s)
    return kind(message, reason=reason)


def to_item(error: errors.VitrineError) -> common_pb2.ItemStatus:
    """The status of one item of a batch."""
    field = error.field if isinstance(error, errors.InvalidArgument) else ""
    return common_pb2.ItemStatus(code=_code(error), message=error.message, reason=error.reason, field=field)


def from_item(item: common_pb2.ItemStatus) -> errors.VitrineError:
    """The domain error of one item of a batch."""
    kind = _ERRORS.get(item.code)
    if kind is None:
        return errors.VitrineError(item.message, reason=item.reason)
    if issubclass(kind, errors.InvalidArgument):
        return kind(item.field, item.message, reason=item.reason)
    return kind(item.message, reason=item.reason)


def _code(error: errors.VitrineError) -> int:
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return int(code_pb2.INTERNAL)


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
