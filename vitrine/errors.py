"""What a client can raise. All are VitrineErrors; those that a retry may mend are Retryable."""

from services.mesh.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Retryable,
    Unavailable,
    VitrineError,
)

__all__ = [
    "AlreadyExists",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "ResourceExhausted",
    "Retryable",
    "Unavailable",
    "VitrineError",
]
