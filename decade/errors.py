"""The errors of this package, and the codes and HTTP statuses that they have on the wire (PROFILE.md section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class ErrorCode(IntEnum):
    """What went wrong, for programs."""

    MALFORMED = 1
    TOKEN_MISSING = 2
    TOKEN_MALFORMED = 3
    TOKEN_BAD_SIGNATURE = 4
    TOKEN_EXPIRED = 5
    TOKEN_NOT_YET_VALID = 6
    WRONG_AUDIENCE = 7
    TOKEN_REVOKED = 8
    TOKEN_USED_UP = 9
    POP_FAILED = 10
    OP_NOT_PERMITTED = 11
    OBJECT_NOT_PERMITTED = 12
    CLIENT_NOT_PERMITTED = 13
    NOT_FOUND = 14
    GONE = 15
    NAME_MISMATCH = 16
    DIGEST_UNSUPPORTED = 17
    TOO_LARGE = 18
    TOO_SMALL = 19
    STORAGE_QUOTA = 20
    AMOUNT_EXHAUSTED = 21
    TOO_MANY_CONNECTIONS = 22
    RATE_LIMITED = 23
    OVERLOADED = 24
    REMOTE_UNREACHABLE = 25
    REMOTE_REFUSED = 26
    REMOTE_MISMATCH = 27
    DEADLINE_EXCEEDED = 28
    CANCELLED = 29
    LENGTH_REQUIRED = 30
    CONFLICT = 31
    ATTRIBUTE_NOT_PERMITTED = 32
    LEGAL_BLOCK = 33
    UNSUPPORTED_VERSION = 34
    LOOP_DETECTED = 35
    RANGE_NOT_SATISFIABLE = 36


class Dimension(IntEnum):
    """What is used up."""

    STORAGE = 0
    BANDWIDTH = 1
    CONNECTIONS = 2
    AMOUNT = 3
    USES = 4
    OBJECTS = 5


STATUS: Mapping[ErrorCode, int] = MappingProxyType(
    {
        ErrorCode.MALFORMED: 400,
        ErrorCode.TOKEN_MISSING: 401,
        ErrorCode.TOKEN_MALFORMED: 401,
        ErrorCode.TOKEN_BAD_SIGNATURE: 401,
        ErrorCode.TOKEN_EXPIRED: 401,
        ErrorCode.TOKEN_NOT_YET_VALID: 401,
        ErrorCode.WRONG_AUDIENCE: 401,
        ErrorCode.TOKEN_REVOKED: 401,
        ErrorCode.TOKEN_USED_UP: 401,
        ErrorCode.POP_FAILED: 401,
        ErrorCode.OP_NOT_PERMITTED: 403,
        ErrorCode.OBJECT_NOT_PERMITTED: 403,
        ErrorCode.CLIENT_NOT_PERMITTED: 403,
        ErrorCode.NOT_FOUND: 404,
        ErrorCode.GONE: 410,
        ErrorCode.NAME_MISMATCH: 422,
        ErrorCode.DIGEST_UNSUPPORTED: 422,
        ErrorCode.TOO_LARGE: 413,
        ErrorCode.TOO_SMALL: 422,
        ErrorCode.STORAGE_QUOTA: 507,
        ErrorCode.AMOUNT_EXHAUSTED: 403,
        ErrorCode.TOO_MANY_CONNECTIONS: 429,
        ErrorCode.RATE_LIMITED: 429,
        ErrorCode.OVERLOADED: 503,
        ErrorCode.REMOTE_UNREACHABLE: 502,
        ErrorCode.REMOTE_REFUSED: 502,
        ErrorCode.REMOTE_MISMATCH: 502,
        ErrorCode.DEADLINE_EXCEEDED: 504,
        ErrorCode.CANCELLED: 409,
        ErrorCode.LENGTH_REQUIRED: 411,
        ErrorCode.CONFLICT: 409,
        ErrorCode.ATTRIBUTE_NOT_PERMITTED: 403,
        ErrorCode.LEGAL_BLOCK: 451,
        ErrorCode.UNSUPPORTED_VERSION: 400,
        ErrorCode.LOOP_DETECTED: 508,
        ErrorCode.RANGE_NOT_SATISFIABLE: 416,
    }
)
"""The HTTP status of each code."""


class DecadeError(Exception):
    """The root of every error that this package raises."""


class DecodeError(DecadeError):
    """Octets or text that do not follow the profile; the text says where and what, `code` is what to answer."""

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.MALFORMED) -> None:
        """`code` is what a server answers whoever has sent it."""
        super().__init__(reason)
        self.code = code


class EncodeError(DecadeError, ValueError):
    """A value that the profile has no octets for; the text names the member."""


class StateError(DecadeError):
    """A verb was called when it makes no sense; nothing was changed."""


class StoreError(DecadeError):
    """The medium of a store failed, or is full; nothing was changed."""


class OutdatedError(StoreError):
    """Policies have changed since they were read, in another process; nothing was changed."""


class RefusedError(DecadeError):
    """What was asked for is refused, with a code, and where something is used up, what and how much of it."""

    def __init__(
        self,
        code: ErrorCode,
        reason: str,
        *,
        dimension: Dimension | None = None,
        limit: int | None = None,
        used: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`limit` and `used` are in octets or pieces, `retry_after` in seconds."""
        super().__init__(reason)
        self.code = code
        self.dimension = dimension
        self.limit = limit
        self.used = used
        self.retry_after = retry_after
