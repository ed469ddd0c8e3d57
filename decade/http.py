"""HTTP as values: what a server is asked, what it answers, and what the profile makes of the header (RFC 9110, 9111).

Parsing heads and framing bodies is the HTTP server's and the HTTP client's. An answer whose body is an object refers to
it: the driver reads it in pieces, as the scheduler lets it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Protocol, TypeAlias

import attrs

from decade.errors import STATUS, DecodeError, ErrorCode, RefusedError
from decade.names import Name
from decade.problem import PROBLEM_TYPE, Problem, encode_problem
from decade.tokens import MAX_TOKEN
from decade.values import COLLECTION
from decade.waiting import Waiting

Headers: TypeAlias = tuple[tuple[str, str], ...]

SAFE: Headers = (("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox"))
"""An upload that is served from the provider's origin must not become a script there."""
NO_STORE: Headers = (("Cache-Control", "no-store"),)
SHARED_CACHE = "public, max-age=0, must-revalidate, no-transform"
"""Caches keep the body and ask for each use. With any freshness they would give it away (RFC 9111 section 3.5)."""
NO_SHARED_CACHE = "private, no-store, no-transform"
DEFAULT_URGENCY = 3
"""What RFC 9218 section 4.1 has for what says nothing."""
YEAR = 31536000
"""Seconds that a cache keeps what is public at most: longer times mean no more to any."""
OCTETS = "application/octet-stream"
MAX_MEDIA_TYPE = 255
MAX_FIELD = 4096
"""Characters of a header field that is looked into: a list of entity tags, at 54 characters each."""
CACHED = 1024
"""Fields that were read or written last, and are again for nothing: most tokens and objects are used more than once."""
_MAX_DIGITS = 19
"""Decimal digits of a position that can lie in an object; more are more than any."""

_RANGE = re.compile(r"bytes=[ \t]*(?:(\d+)-(\d*)|-(\d+))[ \t]*", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'[ \t,]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"))*'
)
_BARE_ITEM = (
    r'(?:-?\d{1,15}(?:\.\d{1,3})?|:[A-Za-z0-9+/=]*:|"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*|\?[01])"
)
_KEY = "[a-z*][a-z0-9_.*-]*"
_PARAMETERS = f"(?:; *{_KEY}(?:={_BARE_ITEM})?)*"
_INNER_LIST = rf"\( *(?:{_BARE_ITEM}{_PARAMETERS}(?: +|(?=\))))*\)"
_MEMBER = re.compile(rf"({_KEY})(?:=({_BARE_ITEM}|{_INNER_LIST}))?{_PARAMETERS}(?:[ \t]*,[ \t]*(?=[a-z*])|$)", re.ASCII)
_BYTE_SEQUENCES = re.compile(r"\( *(?::[A-Za-z0-9+/=]*:(?: +|(?=\))))*\)")
_BEARER = re.compile(r"Bearer +([A-Za-z0-9_-]+)", re.IGNORECASE)
_URL_TOKEN = re.compile("[A-Za-z0-9_-]+")
_INTEGER = re.compile(r"\d{1,15}", re.ASCII)


def _joined(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    values = [value for key, value in headers if key.lower() == wanted]
    return ", ".join(values) if values else None


@attrs.frozen(cache_hash=True)
class Request:
    """A request. `target` is a path with its query for a server, the absolute URI in what a client sends.

    A server looks at the head alone; `body` is what a client sends.
    """

    method: str
    target: str
    headers: Headers = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The value of a header field, its lines joined as RFC 9110 section 5.3 has it; None when there is none."""
        return self._fields.get(name.lower())

    @cached_property
    def _fields(self) -> Mapping[str, str]:
        fields: dict[str, str] = {}
        for name, value in self.headers:
            key = name.lower()
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        return fields


class Download(Protocol):
    """The body of an answer that comes from the store. Whoever got it closes it, whatever happens."""

    @property
    def length(self) -> int:
        """The octets that the answer has announced."""

    def read(self, size: int, now: float) -> bytes:
        """The next octets, which count as sent; none at the end, and none when it was closed, which cuts it short."""

    def close(self, now: float) -> None:
        """The answer is sent, or never will be: what was kept for it is given back. Harmless when repeated."""


@attrs.frozen
class Response:
    """An answer. A client is given the whole body as octets; a server may refer to an object instead."""

    status: int
    headers: Headers = ()
    body: bytes | Download = attrs.field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The value of a header field, its lines joined; None when there is none."""
        return _joined(self.headers, name)


class Upload(Protocol):
    """A request whose head is right and whose body is to come. A client that waits for 100 (Continue) gets it now."""

    def feed(self, octets: bytes, now: float) -> Response | None:
        """The next part of the body. An answer ends it early. Raises StateError when it has ended."""

    def finish(self, now: float) -> Response | Waiting[Response]:
        """The body is whole. An `abort` while it waits comes too late. Raises StateError when it has ended."""

    def abort(self, now: float) -> None:
        """The rest will not come: nothing is kept. Harmless when it has ended."""


@attrs.frozen
class Preconditions:
    """What a request asks of the state of an object before anything is done with it (RFC 9110 section 13.1)."""

    if_match: str | None
    if_none_match: str | None

    @classmethod
    def of(cls, request: Request) -> Preconditions:
        """Those of a request. Objects have no modification date, so those with dates are ignored (13.1.3, 13.1.4)."""
        return cls(request.header("If-Match"), request.header("If-None-Match"))

    def status(self, etag: str | None, *, is_read: bool) -> int | None:
        """304 or 412 if they forbid the method, in the order of section 13.2.2. `etag`: None when nothing is there."""
        if self.if_match is not None and not _is_listed(self.if_match, etag, is_strong=True):
            return 412
        if self.if_none_match is not None and _is_listed(self.if_none_match, etag, is_strong=False):
            return 304 if is_read else 412
        return None


def _is_listed(field: str, etag: str | None, *, is_strong: bool) -> bool:
    if etag is None:
        return False
    if field.strip(" \t") == "*":
        return True
    at = 0
    while at < min(len(field), MAX_FIELD) and (found := _TAG.match(field, at)):
        if found[2] == etag and not (is_strong and found[1]):
            return True
        at = found.end()
    return False


def read_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """The offset and the length of the part that is asked for, None for the whole.

    Several ranges, other units and what is no range are ignored, as section 14.2 allows; so is a range if the object
    is not that of If-Range. Raises RefusedError (RANGE_NOT_SATISFIABLE).
    """
    field = request.header("Range")
    if field is None or request.method != "GET":
        return None
    found = _RANGE.fullmatch(field) if len(field) <= MAX_FIELD else None
    condition = request.header("If-Range")
    if found is None or (condition is not None and condition.strip(" \t") != etag):
        return None
    if found[3] is not None:
        length = min(_number(found[3]), size)
        if _number(found[3]) == 0:
            raise _unsatisfiable(size)
        # The last octets of nothing: Content-Range has no words for them.
        return (size - length, length) if size else None
    first = _number(found[1])
    last = _number(found[2]) if found[2] else max(first, size - 1)
    if last < first:
        return None
    if first >= size:
        raise _unsatisfiable(size)
    return first, min(last, size - 1) - first + 1


def _unsatisfiable(size: int) -> RefusedError:
    return RefusedError(ErrorCode.RANGE_NOT_SATISFIABLE, f"the object has {size} octets", limit=size)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


@attrs.frozen
class AskedAttrs:
    """What Decade-Attrs asks for: an expiry in seconds since 1970, collections, None if it does not speak of them, and
    the keys of attributes that nobody knows.
    """

    expires: int | None = None
    unsupported: tuple[str, ...] = ()
    collections: tuple[bytes, ...] | None = None


def read_attrs(field: str | None) -> AskedAttrs:
    """Decade-Attrs, a Dictionary of RFC 8941. Raises DecodeError."""
    text = "" if field is None else field.strip(" ")
    members: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        found = _MEMBER.match(text, at) if len(text) <= MAX_FIELD else None
        if found is None:
            raise DecodeError("Decade-Attrs: no dictionary of structured fields")
        members[found[1]] = found[2]
        at = found.end()
    collections = _read_collections(members.pop("col")) if "col" in members else None
    if "exp" not in members:
        return AskedAttrs(None, tuple(members), collections)
    expires = members.pop("exp")
    if expires is None or not _INTEGER.fullmatch(expires):
        raise DecodeError("Decade-Attrs: exp is no time")
    return AskedAttrs(int(expires), tuple(members), collections)


def _read_collections(text: str | None) -> tuple[bytes, ...]:
    if text is None or not _BYTE_SEQUENCES.fullmatch(text):
        raise DecodeError("Decade-Attrs: col is no list of byte sequences")
    try:
        return tuple(COLLECTION.read(base64.b64decode(one.strip(":"), validate=True)) for one in text[1:-1].split())
    except binascii.Error as exc:
        raise DecodeError("Decade-Attrs: col is not base64") from exc


def write_attrs(expires: int | None, collections: tuple[bytes, ...] = ()) -> Headers:
    """Decade-Attrs with the expiry of an object, None for what is not said, and the collections that it is to be in."""
    members = [] if expires is None else [f"exp={expires}"]
    if collections:
        members.append(f"col=({' '.join(f':{base64.b64encode(one).decode()}:' for one in collections)})")
    return (("Decade-Attrs", ", ".join(members)),) if members else ()


def read_media_type(field: str | None) -> str | None:
    """A media type as it stands, None without one. Raises DecodeError for what no header could say."""
    if field is not None and (len(field) > MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(field)):
        raise DecodeError("Content-Type: no media type")
    return field


def read_bearer(request: Request) -> bytes | None:
    """The token of a request, None without one; no octets, which are no token, for what is not base64url."""
    field = request.header("Authorization")
    return None if field is None else _read_bearer(field)


@lru_cache(CACHED)
def _read_bearer(field: str) -> bytes:
    found = _BEARER.fullmatch(field.strip(" \t")) if len(field) <= 2 * MAX_TOKEN else None
    return b"" if found is None else _read_token(found[1])


def read_url_token(request: Request) -> bytes | None:
    """The token in the query of a URL, `dt=...`, as `read_bearer` has it: None without one, no octets for several."""
    query = request.target.partition("?")[2]
    if not query:
        return None
    pairs = [field.partition("=") for field in query.split("&")]
    tokens = [value for key, _, value in pairs if key == "dt"]
    if not tokens:
        return None
    return _read_token(tokens[0]) if len(tokens) == 1 and _URL_TOKEN.fullmatch(tokens[0]) else b""


def _read_token(text: str) -> bytes:
    if len(text) > 2 * MAX_TOKEN:
        return b""
    try:
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""
    # A token has one spelling: bits that belong to no octet are zero.
    return token if base64.urlsafe_b64encode(token).rstrip(b"=").decode() == text else b""


def read_length(request: Request) -> int:
    """The announced octets of the body. Raises RefusedError (LENGTH_REQUIRED) without them and for a coded transfer:
    then they are not what comes. Raises DecodeError for what is no number.
    """
    field = request.header("Content-Length")
    if field is None or request.header("Transfer-Encoding") is not None:
        raise RefusedError(ErrorCode.LENGTH_REQUIRED, "Content-Length and no Transfer-Encoding are needed")
    if not (field.isascii() and field.isdecimal() and len(field) <= _MAX_DIGITS):
        raise DecodeError("Content-Length: no number")
    return int(field)


@lru_cache(CACHED)
def public_control(seconds: int | None) -> str:
    """Cache-Control for what anybody may read for so many seconds more, None for ever: it never changes."""
    return f"public, max-age={YEAR if seconds is None else min(seconds, YEAR)}, immutable, no-transform"


def object_headers(
    name: Name, *, size: int, media_type: str | None, expires: int | None, control: str, urgency: int
) -> Headers:
    """The header of an answer with an object, or so many octets of it. `control`: what caches may do with it.

    `urgency`: of RFC 9218, 0 is the most urgent.
    """
    return (
        *validator_headers(etag=name.etag, expires=expires, control=control),
        ("Repr-Digest", name.repr_digest),
        *(() if urgency == DEFAULT_URGENCY else (("Priority", f"u={urgency}"),)),
        ("Content-Type", media_type or OCTETS),
        ("Content-Length", str(size)),
        ("Accept-Ranges", "bytes"),
    )


def validator_headers(*, etag: str, expires: int | None, control: str) -> Headers:
    """What a 304 (Not Modified) says of an object (RFC 9110 section 15.4.5)."""
    return (("ETag", etag), ("Cache-Control", control), *write_attrs(expires), *SAFE)


def plain_response(status: int, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An answer without a body, which no cache keeps. A 204 (No Content) has no length (RFC 9110 section 8.6)."""
    length = () if status == 204 else (("Content-Length", "0"),)
    return Response(status, (*NO_STORE, *SAFE, *length, *headers))


def message_response(octets: bytes, media_type: str, *, status: int = 200, headers: Headers = ()) -> Response:
    """An answer with a message, which no cache keeps."""
    length = str(len(octets))
    fields = (*NO_STORE, *SAFE, ("Content-Type", media_type), ("Content-Length", length), *headers)
    return Response(status, fields, octets)


def problem_response(problem: Problem, *, status: int | None = None, headers: Headers = ()) -> Response:
    """Why a request failed (RFC 9290). `status` where HTTP has a more exact one than the code."""
    code = ErrorCode(problem.code)
    if code == ErrorCode.TOKEN_MISSING:
        headers = (*headers, ("WWW-Authenticate", "Bearer"))
    elif STATUS[code] == 401:
        headers = (*headers, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
    if code == ErrorCode.RANGE_NOT_SATISFIABLE and problem.limit is not None:
        headers = (*headers, ("Content-Range", f"bytes */{problem.limit}"))
    if problem.retry_after is not None:
        headers = (*headers, ("Retry-After", str(-(-problem.retry_after // 1000))))
    return message_response(encode_problem(problem), PROBLEM_TYPE, status=status or STATUS[code], headers=headers)


def hidden(response: Response) -> Response:
    """The answer to a request whose URL has a token: nobody keeps it, and no page tells where it came from."""
    kept = tuple(field for field in response.headers if field[0] != "Cache-Control")
    headers = (*kept, ("Cache-Control", NO_SHARED_CACHE), ("Referrer-Policy", "no-referrer"))
    return attrs.evolve(response, headers=headers)


def without_body(response: Response) -> Response:
    """The answer to HEAD: the header as for GET, and nothing behind it (RFC 9110 section 9.3.2)."""
    return attrs.evolve(response, body=b"")
