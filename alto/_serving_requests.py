"""What a request is about, and whether it is one that can be answered (RFC 7285 sections 8.3, 9.2.2; RFC 9110)."""

from urllib.parse import unquote

from alto import media
from alto._json import Json, JsonError, loads
from alto._serving_answers import NO_STORE, refusal
from alto._serving_headers import combined
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.http import Headers, Request, Response

_CHARSETS = ("utf-8", "utf8", "us-ascii")


def checked_absolute(uri: str) -> str:
    """`uri`, if it is an absolute http or https URI. Raises ConfigurationError."""
    scheme, separator, rest = uri.partition("://")
    if scheme.lower() not in ("http", "https") or not separator or rest[:1] in ("", "/", "?", "#"):
        raise ConfigurationError(f"{uri!r} is no absolute http or https URI")
    if not uri.isascii() or not uri.isprintable() or " " in uri:
        raise ConfigurationError(f"{uri!r} is no URI")
    return uri


def checked_base(uri: str) -> str:
    """The URI that resource IDs are put behind, with a slash at its end; empty for an empty one.

    Raises ConfigurationError.
    """
    if not uri:
        return ""
    if "?" in uri or "#" in uri:
        raise ConfigurationError(f"a base URI has no query and no fragment: {uri!r}")
    return checked_absolute(uri).rstrip("/") + "/"


def path_of(base: str) -> str:
    """The path of a base URI, which may be a path already; with a slash at its end."""
    path = base if base.startswith("/") else "/" + base.partition("://")[2].partition("/")[2]
    return path if path.endswith("/") else path + "/"


def route(target: str, base: str) -> tuple[str, str] | None:
    """The resource ID in the target of a request, and what follows it, query excluded; None for what is elsewhere.

    The ID is empty for the base itself, with or without its slash.
    """
    path = target.partition("?")[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    prefix = path_of(base)
    if not path.startswith(prefix):
        return ("", "") if path + "/" == prefix else None
    name, slash, tail = path[len(prefix) :].partition("/")
    if not name:
        return None if slash else ("", "")
    return (unquote(name) if "%" in name else name), slash + tail


def refused(request: Request, methods: tuple[str, ...], accepts: str | None, offered: str) -> Response | None:
    """The answer to a request that no resource has to see; None for one that is in order.

    `methods` are those of the resource besides OPTIONS, `accepts` is the media type of what is posted to it and
    `offered` that of its answers.
    """
    method = request.method
    if method not in methods:
        if method == "OPTIONS":
            return None
        return refusal(405, f"{method:.20} is no method of this resource", ("Allow", ", ".join((*methods, "OPTIONS"))))
    if accepts is not None:
        coding = combined(request.headers, "content-encoding")
        if coding is not None and coding.strip().lower() not in ("", "identity"):
            return refusal(415, "a body without content coding is due", ("Accept-Encoding", "identity"))
        if not _is_posted(request.header("Content-Type"), accepts):
            return refusal(415, f"{accepts} is due", *posting(accepts))
    bare = offered.partition(";")[0].strip()
    if not media.accepts(combined(request.headers, "accept"), (bare,)):
        return refusal(406, f"there is {bare} only")
    return None


def posting(accepts: str | None) -> Headers:
    """The field that says what may be posted."""
    return () if accepts is None else (("Accept-Post", accepts),)


def options(methods: tuple[str, ...], accepts: str | None) -> Headers:
    """The header fields of an answer to OPTIONS."""
    return (("Allow", ", ".join((*methods, "OPTIONS"))), *posting(accepts), NO_STORE)


def posted(request: Request) -> Json:
    """The JSON value that is posted. Raises RequestError."""
    try:
        value = loads(request.body)
    except JsonError as error:
        raise RequestError(ErrorCode.SYNTAX, syntax_error=str(error)) from error
    if value is None:  # it would look like a GET
        raise RequestError(ErrorCode.INVALID_FIELD_TYPE)
    return value


def _is_posted(content_type: str | None, accepts: str) -> bool:
    parsed = media.parse_media_type(content_type) if content_type is not None else None
    if parsed is None or parsed.type != accepts.partition(";")[0].strip().lower():
        return False
    # JSON is UTF-8 (RFC 8259 section 8.1), whatever else is claimed.
    return parsed.parameters.get("charset", "utf-8").lower() in _CHARSETS
