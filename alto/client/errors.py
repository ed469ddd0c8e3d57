"""How a request can fail other than by what the answer says: the server refuses it, or nobody answers."""

import re

from alto import media
from alto._json import Json, JsonError, loads
from alto.calendar import parse_imf_fixdate
from alto.errors import AltoError, ErrorCode
from alto.findings import Finding, Findings
from alto.http import Response
from alto.media import is_media_type

MAX_ERROR = 65536
"""Octets of an error response that are read: a code, a path and a value."""

_DELAY = re.compile(r"[0-9]{1,9}")


class ServerError(AltoError):
    """The server answered with a status that is no success (RFC 7285 section 8.5).

    `code`, `field`, `value` and `syntax_error` are what its error response says, None where it says nothing; `value`
    is a tuple where the server sent an array (RFC 8895 section 7.6). `retry_after` is its Retry-After field, to be
    read by `retry_delay`. `findings` are the deviations of the error response itself.
    """

    def __init__(
        self,
        status: int,
        *,
        uri: str = "",
        code: str | None = None,
        field: str | None = None,
        value: str | tuple[str, ...] | None = None,
        syntax_error: str | None = None,
        retry_after: str | None = None,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        details = [("field", field), ("value", value), ("syntax error", syntax_error), ("retry after", retry_after)]
        words = [f"HTTP status {status}", *([code] if code else []), *(f"{k} {v!r:.200}" for k, v in details if v)]
        super().__init__((f"{uri:.200}: " if uri else "") + ", ".join(words))
        self.status = status
        self.uri = uri
        self.code = code
        self.field = field
        self.value = value
        self.syntax_error = syntax_error
        self.retry_after = retry_after
        self.findings = findings


class UnreachableError(AltoError):
    """No answer: no connection, none in time, or one that broke off. A driver throws it into a plan."""


def server_error(response: Response, uri: str) -> ServerError:
    """The error that a response with no success in its status stands for, whatever is in its body."""
    findings = Findings(strict=False)
    meta: dict[str, Json] = {}
    if is_media_type(response.header("content-type"), media.ERROR) and len(response.body) <= MAX_ERROR:
        try:
            tree = loads(response.body)
        except JsonError as error:
            findings.must("", f"the error response is no JSON: {error}", 7285, "8.5.2")
        else:
            meta = check_error(tree, findings)
    value = meta.get("value")
    return ServerError(
        response.status,
        uri=uri,
        code=_text(meta.get("code")),
        field=_text(meta.get("field")),
        value=_value(value),
        syntax_error=_text(meta.get("syntax-error")),
        retry_after=response.header("retry-after"),
        findings=tuple(findings.items),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _value(value: Json) -> str | tuple[str, ...] | None:
    if isinstance(value, list):
        return tuple(element for element in value if isinstance(element, str))
    return _text(value)


def check_error(tree: Json, findings: Findings) -> dict[str, Json]:
    """The `meta` of an error response (RFC 7285 section 8.5.2), empty where there is none, and what is wrong with it.

    An array of strings in `value` is that of RFC 8895 section 7.6.
    """
    if not findings.is_a(tree, dict, "", 7285, "8.5.2"):
        return {}
    meta: dict[str, Json] | None = findings.member(tree, "meta", dict, "", 7285, "8.5.2")
    if meta is None:
        return {}
    code = findings.member(meta, "code", str, "meta", 7285, "8.5.2")
    if code is not None and code not in tuple(ErrorCode):
        findings.must("meta/code", f"{code!r:.80} is no registered code", 7285, "8.5.2")
    findings.optional(meta, "field", str, "meta", 7285, "8.5.2")
    findings.optional(meta, "syntax-error", str, "meta", 7285, "8.5.2")
    if "value" in meta:
        value = meta["value"]
        if "field" not in meta:
            findings.must("meta/field", "missing, though there is a value", 7285, "8.5.2")
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            findings.must("meta/value", "a string is due", 7285, "8.5.2")
    return meta


def retry_delay(retry_after: str | None, wall: float) -> float | None:
    """The seconds that a Retry-After field asks for at the Unix time `wall`; None for none (RFC 9110 10.2.3)."""
    text = (retry_after or "").strip()
    if _DELAY.fullmatch(text):
        return float(text)
    date = parse_imf_fixdate(text)
    return None if date is None else max(0.0, date[0] - wall)
