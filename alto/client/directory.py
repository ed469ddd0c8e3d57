"""All IRDs from the Root IRD on, fetched and joined (RFC 7285 sections 8.3.1 and 9.2.4)."""

from collections import deque

from alto import media
from alto.client.errors import ServerError, UnreachableError
from alto.client.fetch import Plan, Session, fetch
from alto.client.reading import read_directory
from alto.closure import Closure, join_directories
from alto.errors import DecodeError
from alto.findings import Findings
from alto.http import Request
from alto.ird import InformationResourceDirectory

MAX_DIRECTORIES = 32
"""IRDs of one closure: a server makes as many as it likes, one leading to the next."""

_HEADERS = (("Accept", f"{media.DIRECTORY},{media.ERROR}"),)


def fetch_closure(session: Session, root_uri: str, findings: Findings) -> Plan[Closure]:
    """Fetch the Root IRD and all that it leads to, each once, however they point at each other.

    A linked IRD that cannot be had, or leniently cannot be read, leaves the closure incomplete, with a note. Raises
    ServerError and UnreachableError for the Root IRD, and DecodeError.
    """
    found: dict[str, InformationResourceDirectory] = {}
    asked = {root_uri}
    waiting = deque([root_uri])
    is_complete = True
    for _ in range(MAX_DIRECTORIES):
        if not waiting:
            break
        uri = waiting.popleft()
        try:
            fetched = yield from fetch(session, Request("GET", uri, _HEADERS))
            directory = read_directory(fetched, findings, is_root=not found)
        except (ServerError, UnreachableError, DecodeError) as error:
            if not found or (findings.strict and isinstance(error, DecodeError)):
                raise
            findings.note("resources", f"a linked IRD is not to be had: {error!s:.300}", 7285, "9.2.4")
            is_complete = False
            continue
        if fetched.uri in found:
            continue
        found[fetched.uri] = directory
        asked.add(fetched.uri)
        for entry in directory.resources.values():
            if entry.document_type == media.DIRECTORY and entry.accepts is None and entry.uri not in asked:
                asked.add(entry.uri)
                waiting.append(entry.uri)
    if waiting:
        findings.note("resources", f"more than {MAX_DIRECTORIES} IRDs; the rest is left out", 7285, "8.3.1")
        is_complete = False
    return join_directories(found, findings, is_complete=is_complete)
