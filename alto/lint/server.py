"""The linter for a live server: it asks everything that its directory says can be asked, and much that cannot."""

from attrs import frozen

from alto import media
from alto._json import Json
from alto.client.cache import ResponseCache
from alto.client.directory import fetch_closure
from alto.client.errors import UnreachableError
from alto.client.fetch import MAX_BODY, Credentials, Plan, Session
from alto.closure import Closure, check_offer, is_network_map
from alto.errors import DecodeError
from alto.findings import Findings, Level
from alto.ird import ResourceEntry
from alto.lint.asking import ClosedError, EnoughError, Inspection, ServerFinding
from alto.lint.cross import check_against_maps, check_full_against_filtered
from alto.lint.examples import example_for
from alto.lint.probes import probe_get, probe_post
from alto.lint.tips import probe_tips

DIRECTORY = "directory"
"""Where findings about the IRDs are."""


@frozen
class Report:
    """What was found out about a server."""

    findings: tuple[ServerFinding, ...]
    resources: tuple[str, ...]
    """The IDs of all resources in the closure."""
    unchecked: tuple[str, ...]
    """What could not be looked at, each with the reason."""
    requests: int

    @property
    def is_conforming(self) -> bool:
        """Whether no MUST is broken."""
        return all(each.finding.level is not Level.MUST for each in self.findings)


def lint_server(
    root_uri: str, *, wall: float, credentials: Credentials | None = None, max_body: int = MAX_BODY
) -> Plan[Report]:
    """Look at a server from its Root IRD on; `wall` is Unix time.

    It changes nothing there, but sends some thirty requests for each resource, most of them wrong. Raises ServerError
    and UnreachableError where there is no Root IRD to be had, and DecodeError where there is none to be read.
    """
    # Nothing is kept: what is the same again has to be seen again.
    session = Session(credentials, max_body, ResponseCache(max_entries=0))
    inspection = Inspection(session, wall)
    findings = Findings(strict=False)
    closure = yield from fetch_closure(session, root_uri, findings)
    check_offer(closure, findings)
    inspection.add(DIRECTORY, findings.items)
    inspection.requests = len(closure.directories)
    try:
        yield from _probe_directories(inspection, closure)
        # Network maps first: the rest is held against them.
        for entry in sorted(
            closure.entries.values(), key=lambda entry: (not is_network_map(entry), entry.accepts or "")
        ):
            yield from _probe(inspection, closure, entry)
    except EnoughError:
        inspection.unchecked.append(f"the rest: {inspection.requests} requests are enough")
    return Report(tuple(inspection.findings), tuple(closure.entries), tuple(inspection.unchecked), inspection.requests)


def _probe_directories(inspection: Inspection, closure: Closure) -> Plan[None]:
    for uri in closure.directories:
        entry = ResourceEntry(DIRECTORY, uri, media.DIRECTORY)
        yield from _guarded(inspection, entry, probe_get(inspection, closure, entry))
        inspection.documents.pop(DIRECTORY, None)


def _probe(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> Plan[None]:
    if entry.document_type == media.DIRECTORY:
        return
    if entry.accepts is None:
        yield from _guarded(inspection, entry, probe_get(inspection, closure, entry))
        check_against_maps(inspection, closure, entry, inspection.documents.get(entry.id))
        return
    request = example_for(inspection, closure, entry)
    if request is None:
        inspection.unchecked.append(f"{entry.id}: its capabilities do not tell what it can be asked")
        return
    if media.is_media_type(entry.media_type, media.EVENT_STREAM):
        inspection.unchecked.append(f"{entry.id}: what the stream says; only its errors are looked at")
    yield from _guarded(inspection, entry, _post(inspection, closure, entry, request))


def _post(inspection: Inspection, closure: Closure, entry: ResourceEntry, request: Json) -> Plan[None]:
    document = yield from probe_post(inspection, closure, entry, request)
    check_against_maps(inspection, closure, entry, document)
    check_full_against_filtered(inspection, closure, entry, document)
    if media.is_media_type(entry.media_type, media.TIPS):
        yield from probe_tips(inspection, closure, entry, request)


def _guarded(inspection: Inspection, entry: ResourceEntry, plan: Plan[None]) -> Plan[None]:
    """A resource that does not answer, or leads nowhere, does not keep the others from being looked at."""
    try:
        yield from plan
    except ClosedError as error:
        inspection.unchecked.append(f"{entry.id}: {error}")
    except UnreachableError as error:
        inspection.must(f"{entry.id}", f"no answer: {error!s:.300}", 7285, "9.2.2")
    except DecodeError as error:
        inspection.must(f"{entry.id}", f"{error!s:.300}", 7285, "8.5.3")
