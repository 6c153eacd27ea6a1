"""What can go wrong, in the words of the domain. `services.mesh.status` alone knows how gRPC says it."""

from __future__ import annotations

from typing import ClassVar


class VitrineError(Exception):
    """Base of every error that a caller is meant to see.

    `reason` is for programs (UPPER_SNAKE_CASE, stable), the message is for people.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason


class InvalidArgument(VitrineError):
    """The caller sent something wrong; `field` is its path in the request, such as `parts[0].image`."""

    default_reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str, *, reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def under(self, prefix: str) -> InvalidArgument:
        """The same error as seen from a message that holds this one in the field `prefix`."""
        field = f"{prefix}.{self.field}" if self.field else prefix
        return InvalidArgument(field, self.message, reason=self.reason)


class NotFound(VitrineError):
    """There is no resource of that name."""

    default_reason = "NOT_FOUND"


class AlreadyExists(VitrineError):
    """There is a resource of that name already."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(VitrineError):
    """The system is not in a state in which this could work, and a retry alone will not mend that."""

    default_reason = "FAILED_PRECONDITION"


class Aborted(VitrineError):
    """Somebody else has changed meanwhile what the caller wanted to change: read it again, then retry."""

    default_reason = "ABORTED"


class Unauthenticated(VitrineError):
    """Nobody knows who the caller is: no key or token, or one that is not valid."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(VitrineError):
    """The caller is known and may not do this."""

    default_reason = "PERMISSION_DENIED"


class OutOfRange(VitrineError):
    """A position that the log does not have (any more)."""

    default_reason = "OUT_OF_RANGE"


class DeadlineExceeded(VitrineError):
    """The caller's deadline passed. Never used for anything else."""

    default_reason = "DEADLINE_EXCEEDED"


class Retryable(VitrineError):
    """Base of the errors after which a retry makes sense once `retry_after_s` seconds have passed."""

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class ResourceExhausted(Retryable):
    """A limit is reached: a full queue, too many calls at once."""

    default_reason = "OVERLOADED"


class Unavailable(Retryable):
    """Something needed is away for the moment."""

    default_reason = "UNAVAILABLE"
