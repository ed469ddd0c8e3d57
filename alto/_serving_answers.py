"""What a server answers with: the representations of a resource, and refusals (RFC 7285 section 8.5, RFC 9110)."""

import gzip
import hashlib
from typing import Any

import attrs
from attrs import frozen

from alto import media
from alto._json import Json, dumps
from alto._serving_headers import codings, combined, http_date, names_tag, read_http_date
from alto.directory import Document
from alto.errors import ErrorCode, RequestError
from alto.http import Headers, Request, Response

MIN_GZIP = 1024
"""Octets from which gzip is worth its work: below, an answer fits in a packet anyway."""
MAX_GZIP_AT_ONCE = 2**18
"""Octets up to which an answer to one request is compressed: that takes milliseconds in which nobody else is served."""
GZIP_LEVEL = 6
"""For what is compressed once and sent often."""
GZIP_LEVEL_AT_ONCE = 1
MAX_GZIP_SLOWLY = 2**23
"""Octets beyond which the lower level does for that, too. It saves a sixth less in a tenth of the time: of 2,000 x
2,000 costs 0.4 s and not 4 s, for which an update would have to wait."""

NO_STORE = ("Cache-Control", "no-store")
PRIVATE = (("Cache-Control", "private, no-store"), ("Vary", "Accept-Encoding, Authorization"))
MAX_FIELD = 1024
"""Characters of a field's path that are sent back."""


@frozen
class Encoded:
    """A document in octets, with and without gzip, and what it was made from."""

    version: tuple[object, ...]
    media_type: str
    body: bytes
    gzip: bytes
    digest: str


def encode(document: Document, version: tuple[object, ...]) -> Encoded:
    """Everything about a representation that takes time; it may be done in another thread."""
    body = document.body
    digest = hashlib.sha256(document.media_type.encode() + b"\n" + body).hexdigest()[:32]
    level = GZIP_LEVEL if len(body) <= MAX_GZIP_SLOWLY else GZIP_LEVEL_AT_ONCE
    return Encoded(version, document.media_type, body, gzip.compress(body, level, mtime=0), digest)


class Representation:
    """What GET and HEAD of a resource are answered with while its `version` holds, whoever asks; made once."""

    __slots__ = ("_gzip", "_identity", "_is_large", "digest", "last_modified", "version")

    def __init__(self, encoded: Encoded, wall: float, keeping: Headers) -> None:
        """`keeping` are the fields that tell caches what they may keep, and for whom."""
        self.version = encoded.version
        self.digest = encoded.digest
        self.last_modified = int(wall)
        common = (*keeping, ("Last-Modified", http_date(wall)))
        self._identity = _Coded(encoded.media_type, encoded.body, f'"{encoded.digest}"', common)
        # Another representation, hence another strong tag (RFC 9110 section 8.8.3.3).
        self._gzip = _Coded(encoded.media_type, encoded.gzip, f'"{encoded.digest}-gzip"', common, coding="gzip")
        self._is_large = len(encoded.body) >= MIN_GZIP

    def answer(self, request: Request, wall: float) -> Response:
        """The representation in the coding that is asked for, or what became of the conditions (section 13.2.2)."""
        wants_gzip, takes_identity = codings(combined(request.headers, "accept-encoding"))
        if wants_gzip and (self._is_large or not takes_identity):
            return self._gzip.answer(request, self.last_modified, wall)
        return self._identity.answer(request, self.last_modified, wall) if takes_identity else _unacceptable()


class _Coded:
    """A representation in one content coding."""

    __slots__ = ("etag", "not_modified", "whole")

    def __init__(self, media_type: str, body: bytes, etag: str, common: Headers, *, coding: str | None = None) -> None:
        kind: Headers = (("Content-Type", media_type),)
        if coding is not None:
            kind += (("Content-Encoding", coding),)
        self.etag = etag
        self.whole = Response(200, (*kind, ("ETag", etag), *common), body)
        # What a 304 has to repeat (RFC 9110 section 15.4.5).
        self.not_modified = Response(304, (("ETag", etag), *common))

    def answer(self, request: Request, last_modified: int, wall: float) -> Response:
        if_match = if_none_match = modified_since = unmodified_since = None
        for name, value in request.headers:
            if name[:3].lower() != "if-":
                continue
            match name.lower():
                case "if-none-match":
                    if_none_match = value if if_none_match is None else f"{if_none_match}, {value}"
                case "if-match":
                    if_match = value if if_match is None else f"{if_match}, {value}"
                case "if-modified-since":
                    modified_since = value
                case "if-unmodified-since":
                    unmodified_since = value
        if if_match is not None:
            if not names_tag(if_match, self.etag, weak=False):
                return refusal(412, "the resource has another entity tag")
        elif unmodified_since is not None:
            since = read_http_date(unmodified_since, wall)
            if since is not None and last_modified > since:
                return refusal(412, "the resource has changed since")
        if if_none_match is not None:
            return self.not_modified if names_tag(if_none_match, self.etag, weak=True) else self.whole
        if modified_since is not None:
            since = read_http_date(modified_since, wall)
            if since is not None and last_modified <= since:
                return self.not_modified
        return self.whole


def once(document: Document, request: Request, since: float, *, is_private: bool) -> Response:
    """An answer that no cache may keep: to a POST, or of a private resource, whose data is what it is `since` then."""
    headers: Headers = PRIVATE if is_private else (NO_STORE, ("Vary", "Accept-Encoding"))
    kind: Headers = (("Content-Type", document.media_type), ("Last-Modified", http_date(since)))
    response = Response(200, (*kind, *headers), document.body)
    return packed(response, request)


def packed(response: Response, request: Request) -> Response:
    """The same with gzip, if the client wants that and it is worth it, or it takes nothing else."""
    length = len(response.body)
    if not length or length > MAX_GZIP_AT_ONCE:
        return response
    wants_gzip, takes_identity = codings(combined(request.headers, "accept-encoding"))
    if not wants_gzip or (length < MIN_GZIP and takes_identity):
        return response
    body = gzip.compress(response.body, GZIP_LEVEL_AT_ONCE, mtime=0)
    return Response(response.status, (*response.headers, ("Content-Encoding", "gzip")), body)


def finished(response: Response, request: Request, *, is_private: bool) -> Response:
    """A service's response, kept from caches unless it says otherwise and is public."""
    if is_private:
        kept = tuple(pair for pair in response.headers if pair[0].lower() not in ("cache-control", "vary"))
        response = attrs.evolve(response, headers=(*kept, *PRIVATE))
    elif response.header("Cache-Control") is None:
        response = attrs.evolve(response, headers=(*response.headers, NO_STORE))
    if response.header("Vary") is None:
        response = attrs.evolve(response, headers=(*response.headers, ("Vary", "Accept-Encoding")))
    # Another coding would need another entity tag, and has its own already where one is named.
    if response.header("ETag") is not None or response.header("Content-Encoding") is not None:
        return response
    return packed(response, request)


def _unacceptable() -> Response:
    return refusal(406, "neither gzip nor identity is acceptable to you")


def refusal(status: int, why: str, *headers: tuple[str, str]) -> Response:
    """An answer about HTTP only, for which ALTO has no error code: a sentence for a person."""
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Response(status, (kind, NO_STORE, *headers), why.encode("utf-8", "replace") + b"\n")


def error_response(error: RequestError) -> Response:
    """The ALTO error response of section 8.5.2: one error, and only the members that go with its code."""
    meta: dict[str, Any] = {"code": error.code.value}
    if error.field is not None:
        meta["field"] = error.field[:MAX_FIELD]
        if error.value is not None and error.code is ErrorCode.INVALID_FIELD_VALUE:
            meta["value"] = error.value
    if error.syntax_error is not None and error.code is ErrorCode.SYNTAX:
        meta["syntax-error"] = error.syntax_error
    tree: Json = {"meta": meta}
    headers: Headers = (("Content-Type", media.ERROR), NO_STORE)
    if error.hangs_up:
        headers += (("Connection", "close"),)
    return Response(error.status, headers, dumps(tree))
