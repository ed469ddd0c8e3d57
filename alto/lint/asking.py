"""Asking a server, and noting what is wrong with its answers."""

from collections.abc import Iterable

from attrs import field, frozen, mutable

from alto import media
from alto._json import Json, JsonError, dumps, loads
from alto.client.errors import ServerError, check_error
from alto.client.fetch import MAX_REDIRECTS, REDIRECTS, Plan, Session, authorized, redirected
from alto.client.reading import check_type
from alto.errors import DecodeError
from alto.findings import Finding, Findings
from alto.http import Headers, Request, Response
from alto.ird import ResourceEntry
from alto.lint.document import note_error

MAX_REQUESTS = 5000
"""Requests to one server: some thirty a resource, for more resources than most have."""
_CLOSED = (401, 403, 407)
"""What is not public is no fault: it is not looked at."""


class ClosedError(Exception):
    """The client is not let in."""

    def __init__(self, status: int) -> None:
        super().__init__(f"only for clients with other credentials (status {status})")


class EnoughError(Exception):
    """MAX_REQUESTS have been sent."""


@frozen
class ServerFinding:
    """Something wrong with a server: where it showed, such as `my-map: GET with If-None-Match`, and what it is."""

    where: str
    finding: Finding

    def __str__(self) -> str:
        return f"{self.where}: {self.finding}"


@mutable
class Inspection:
    """What has been found out about a server so far."""

    session: Session
    wall: float
    """Unix time."""
    findings: list[ServerFinding] = field(factory=list)
    unchecked: list[str] = field(factory=list)
    """What could not be looked at, and why."""
    requests: int = 0
    documents: dict[str, object] = field(factory=dict)
    """What the resources that one GETs have answered, parsed, by their IDs."""

    def add(self, where: str, found: Iterable[Finding]) -> None:
        """Note what was found at one place, each once."""
        self.findings.extend(ServerFinding(where, finding) for finding in dict.fromkeys(found))

    def must(self, where: str, text: str, rfc: int, section: str) -> None:
        """A MUST is broken by an answer as a whole."""
        findings = Findings(strict=False)
        findings.must("", text, rfc, section)
        self.add(where, findings.items)

    def should(self, where: str, text: str, rfc: int, section: str) -> None:
        """A SHOULD is broken by an answer as a whole."""
        findings = Findings(strict=False)
        findings.should("", text, rfc, section)
        self.add(where, findings.items)

    def ask(self, method: str, uri: str, headers: Headers = (), body: bytes = b"") -> Plan[Response]:
        """The answer to a request, redirects followed, whatever its status. Raises DecodeError for a bad redirect."""
        request = Request(method, uri, headers, body)
        for _ in range(MAX_REDIRECTS + 1):
            if self.requests >= MAX_REQUESTS:
                raise EnoughError
            self.requests += 1
            response = yield from authorized(self.session.credentials, request)
            if response.status in _CLOSED:
                raise ClosedError(response.status)
            location = response.header("location")
            if response.status not in REDIRECTS or location is None:
                return response
            request = redirected(request, response.status, location)
        raise DecodeError(f"{uri:.200}: more than {MAX_REDIRECTS} redirects (RFC 7285 section 8.5.3)")

    def post(
        self, entry: ResourceEntry, tree: Json, *, uri: str | None = None, headers: Headers | None = None
    ) -> Plan[Response]:
        """The answer to a POST of a JSON value, as the resource takes it or elsewhere."""
        due = (*accepting(entry.media_type), ("Content-Type", entry.accepts or ""))
        return (yield from self.ask("POST", uri or entry.uri, due if headers is None else headers, dumps(tree)))

    def check_answer(self, where: str, response: Response, media_type: str, findings: Findings) -> bool:
        """Whether an answer is a success of that type; what is wrong with it is noted."""
        if response.status != 200:
            self.must(where, f"the status is {response.status}, and a success is due", 7285, "9.2.2")
            return False
        try:
            check_type(response, media_type, findings)
        except ServerError:
            findings.must("", "an error response with a status of success", 7285, "8.5.1")
            return False
        except DecodeError as error:
            note_error(error, findings)
            return False
        return True

    def check_refusal(self, where: str, response: Response, due: "Due") -> None:
        """Whether a request was refused with the ALTO error that is due (RFC 7285 section 8.5).

        Which code it is to be is only illustrated there, so that another is no broken MUST.
        """
        if 200 <= response.status < 300:
            self.must(where, f"accepted; {due} is due", due.rfc, due.section)
            return
        if not 400 <= response.status < 500:
            self.must(where, f"the status is {response.status}; the fault is the client's", 7285, "8.5")
            return
        findings = Findings(strict=False)
        if not media.is_media_type(response.header("content-type"), media.ERROR):
            findings.should("", f"refused without an ALTO error; {due} is due", 7285, "8.5")
            self.add(where, findings.items)
            return
        try:
            meta = check_error(loads(response.body), findings)
        except JsonError as error:
            findings.must("", f"the error response is no JSON: {error}", 7285, "8.5.2")
            meta = {}
        code, path = meta.get("code"), meta.get("field")
        if isinstance(code, str) and code not in due.codes:
            findings.should("meta/code", f"{code:.80}, where {due} is due", 7285, "8.5.2")
        elif isinstance(path, str) and due.fields and path not in due.fields:
            findings.should("meta/field", f"{path:.80}, where {due} is due", 7285, "8.5.2")
        elif path is None and due.fields:
            findings.note("meta/field", "the error does not say where it is", 7285, "8.5.2")
        self.add(where, findings.items)


@frozen
class Due:
    """The error that a request has to be refused with: one of these codes, at one of these fields."""

    codes: tuple[str, ...]
    fields: tuple[str, ...]
    rfc: int
    section: str

    def __str__(self) -> str:
        return " or ".join(self.codes) + (f" at {self.fields[0]}" if self.fields else "")


def accepting(media_type: str) -> Headers:
    """The Accept field of who wants that type, or an error response."""
    return (("Accept", f"{media_type},{media.ERROR}"),)


def value_of(response: Response) -> Json:
    """The JSON value of a body. Raises DecodeError."""
    try:
        return loads(response.body)
    except JsonError as error:
        raise DecodeError(f"no JSON of a certain meaning: {error} (RFC 7285 section 8.2)") from error
