"""From a response to a document: its media type checked, its JSON read (RFC 7285 sections 8.3.3 and 8.3.4.2)."""

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import frozen

from alto import media
from alto._json import Json, JsonError, dumps, loads
from alto.capabilities import bare_type
from alto.client.errors import server_error
from alto.client.fetch import Fetched, Plan, Session, fetch
from alto.errors import DecodeError
from alto.findings import Finding, Findings
from alto.http import Request, Response
from alto.ird import InformationResourceDirectory, ResourceEntry, parse_directory

_T = TypeVar("_T")

MAX_DIRECTORY = 16 * 1024 * 1024
"""Octets of an IRD: all of MAX_RESOURCES entries."""

_MAX_REFERRALS = 2
"""IRDs that are followed where a resource was asked for."""

Parse = Callable[[Response, Findings], _T]
"""What makes a document of a response whose media type is right."""


@frozen
class Result(Generic[_T]):
    """A document, where it came from, and what is wrong with it."""

    value: _T
    entry: ResourceEntry
    uri: str
    """Where it was found in the end."""
    findings: tuple[Finding, ...] = ()


def request_for(entry: ResourceEntry, params: Json | None = None) -> Request:
    """A GET of the resource, or a POST of `params` with the media type that it accepts (section 8.3.2)."""
    accept = ("Accept", f"{entry.media_type},{media.ERROR}")
    if entry.accepts is None:
        return Request("GET", entry.uri, (accept,))
    return Request("POST", entry.uri, (accept, ("Content-Type", entry.accepts)), dumps(params))


def json_of(parse: Callable[[Json, Findings], _T]) -> Parse[_T]:
    """The parser of a response from that of a JSON value."""
    return lambda response, findings: parse(read_json(response), findings)


def read_json(response: Response) -> Json:
    """The JSON value of a body. Raises DecodeError."""
    return json_value(response.body)


def json_value(body: bytes) -> Json:
    """The JSON value of what a server has sent. Raises DecodeError."""
    try:
        return loads(body)
    except JsonError as error:
        raise DecodeError(f"the response is no JSON: {error}") from error


def read_directory(fetched: Fetched, findings: Findings, *, is_root: bool) -> InformationResourceDirectory:
    """The IRD in a response, its URIs resolved against where it was found in the end. Raises DecodeError."""
    if len(fetched.response.body) > MAX_DIRECTORY:
        raise DecodeError(f"{fetched.uri:.200}: an IRD of more than {MAX_DIRECTORY} octets")
    check_type(fetched.response, media.DIRECTORY, findings)
    return parse_directory(read_json(fetched.response), findings, fetched.uri, is_root=is_root)


def obtain(
    session: Session, entry: ResourceEntry, parse: Parse[_T], findings: Findings, params: Json | None = None
) -> Plan[Result[_T]]:
    """Ask for a resource and read what comes.

    An IRD that comes instead is followed to the resource of the same ID, or else of the same types (section 8.3.4.2).
    Raises ServerError, DecodeError, and what is thrown into the plan.
    """
    for _ in range(_MAX_REFERRALS + 1):
        fetched = yield from fetch(session, request_for(entry, params))
        if fetched.is_unchanged and isinstance(fetched.kept.value, Result):
            return fetched.kept.value
        if bare_type(fetched.response.header("content-type")) != media.DIRECTORY:
            before = len(findings.items)
            check_type(fetched.response, entry.media_type, findings)
            value = parse(fetched.response, findings)
            result = Result(value, entry, fetched.uri, tuple(findings.items[before:]))
            fetched.kept.value = result
            return result
        entry = _referred(entry, read_directory(fetched, findings, is_root=False))
    raise DecodeError(f"{entry.uri:.200}: one IRD after the other in place of the resource {entry.id!r:.80}")


def _referred(entry: ResourceEntry, directory: InformationResourceDirectory) -> ResourceEntry:
    named = directory.resources.get(entry.id)
    wanted = (bare_type(entry.media_type), entry.document_type, bare_type(entry.accepts))
    candidates = [named] if named is not None else list(directory.resources.values())
    for other in candidates:
        if (bare_type(other.media_type), other.document_type, bare_type(other.accepts)) == wanted:
            return other
    raise DecodeError(f"{entry.uri:.200}: an IRD without the resource {entry.id!r:.80} that was asked for")


def check_type(response: Response, wanted: str, findings: Findings) -> None:
    """Whether the Content-Type is the one `wanted`, whatever its parameters.

    Leniently, no Content-Type and any other that is JSON are forgiven where JSON is wanted. Raises DecodeError; an
    error response with a status of success raises ServerError.
    """
    text = response.header("content-type")
    found = bare_type(text)
    due = bare_type(wanted)
    if found == due:
        return
    if found == media.ERROR:
        raise server_error(response, "")
    if text is None:
        findings.must("", "the response has no Content-Type", 7285, "8.3.3")
        return
    wrong = f"the response has the Content-Type {text!r:.80}, not {due}"
    findings.must("", wrong, 7285, "8.3.3")
    is_json = found is not None and (found == "application/json" or found.endswith("+json"))
    if not is_json or due == media.MULTIPART_RELATED:
        raise DecodeError(wrong)
