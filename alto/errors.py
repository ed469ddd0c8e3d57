"""The errors of this package: one root, and one class for each side at fault."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes that an ALTO error response carries (RFC 7285 section 8.5.2, table 1)."""

    SYNTAX = "E_SYNTAX"
    MISSING_FIELD = "E_MISSING_FIELD"
    INVALID_FIELD_TYPE = "E_INVALID_FIELD_TYPE"
    INVALID_FIELD_VALUE = "E_INVALID_FIELD_VALUE"


class AltoError(Exception):
    """The root of every error that this package raises."""


class DecodeError(AltoError):
    """What the other side sent breaks a MUST; the text says where, what and by which clause."""


class StateError(AltoError):
    """A verb was called when it makes no sense; nothing was changed."""


class ConfigurationError(AltoError, ValueError):
    """Data that no ALTO server can serve, or a question that no resource can be asked; one sentence for its author."""


class RequestError(AltoError):
    """A request that a server refuses with an ALTO error response (RFC 7285 section 8.5.2).

    `field` is the full path of the member, with slashes; for an element of an array that of the array. `value` goes
    with E_INVALID_FIELD_VALUE only, `syntax_error` with E_SYNTAX only: a text about the position. If it `hangs_up`, the
    connection ends with the response.
    """

    hangs_up = False

    def __init__(
        self,
        code: ErrorCode,
        *,
        field: str | None = None,
        value: str | None = None,
        syntax_error: str | None = None,
        status: int = 400,
    ) -> None:
        words = [code.value, *(f"{name} {text!r}" for name, text in (("field", field), ("value", value)) if text)]
        super().__init__(": ".join(words) + (f": {syntax_error}" if syntax_error else ""))
        self.code = code
        self.field = field
        self.value = value
        self.syntax_error = syntax_error
        self.status = status
