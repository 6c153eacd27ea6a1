"""What a client can raise. All are VitrineErrors; those that a retry may mend are Retryable."""

from services.mesh.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Retryable,
    Unauthenticated,
    Unavailable,
    VitrineError,
)

__all__ = [
    "Aborted",
    "AlreadyExists",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Retryable",
    "Unauthenticated",
    "Unavailable",
    "VitrineError",
]
