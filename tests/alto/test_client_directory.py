"""The ALTO client's way from the Root IRD to all others (RFC 7285 sections 8.3.1 and 9.2.4)."""

import pytest
from alto_plans import Carrier, answer

from alto import media
from alto._json import Json
from alto.client.directory import MAX_DIRECTORIES, fetch_closure
from alto.client.errors import ServerError, UnreachableError
from alto.client.fetch import Session
from alto.client.reading import MAX_DIRECTORY
from alto.errors import DecodeError
from alto.findings import Findings
from alto.http import Request, Response

ROOT = "https://alto.example.com/directory"
OK = Response(200, (("Content-Type", "x/y"),), b"fine")


def moved(status: int, location: str) -> Response:
    return Response(status, (("Location", location),))


def ird(resources: Json, *, default: str | None = "map") -> Response:
    meta: Json = {} if default is None else {"default-alto-network-map": default}
    return answer({"meta": meta, "resources": resources}, media.DIRECTORY)


def link(uri: str) -> Json:
    return {"uri": uri, "media-type": media.DIRECTORY}


def entry(uri: str = "map") -> Json:
    return {"uri": uri, "media-type": media.NETWORK_MAP}


def test_the_closure_is_fetched_each_directory_once_however_they_point_at_each_other() -> None:
    carrier = Carrier(
        {
            ROOT: ird({"map": entry(), "a": link("a"), "b": link("b"), "self": link(ROOT)}),
            "https://alto.example.com/a": ird({"in-a": entry("x"), "to-b": link("b")}, default=None),
            "https://alto.example.com/b": ird({"to-root": link(ROOT), "to-a": link("/a")}, default=None),
        }
    )
    findings = Findings()
    closure = carrier.run(fetch_closure(Session(), ROOT, findings))
    assert len(carrier.requests) == 3
    assert closure.is_complete
    assert {"map", "in-a"} <= closure.entries.keys()
    assert findings.items == []
    assert carrier.requests[0] == Request(
        "GET", ROOT, (("Accept", "application/alto-directory+json,application/alto-error+json"),)
    )


def test_relative_uris_are_resolved_against_where_a_redirect_led() -> None:
    carrier = Carrier(
        {
            ROOT: moved(307, "https://other.example/alto/v2/ird"),
            "https://other.example/alto/v2/ird": ird({"map": entry("maps/net")}),
        }
    )
    closure = carrier.run(fetch_closure(Session(), ROOT, Findings()))
    assert closure.entries["map"].uri == "https://other.example/alto/v2/maps/net"


def test_a_linked_directory_that_cannot_be_had_leaves_a_gap() -> None:
    def respond(request: Request) -> Response:
        if request.target == ROOT:
            return ird({"map": entry(), "a": link("a"), "b": link("b"), "c": {**entry("c"), "uses": ["in-a"]}})
        if request.target.endswith("/a"):
            raise UnreachableError("no answer")
        return Response(503)

    findings = Findings()
    closure = Carrier(respond).run(fetch_closure(Session(), ROOT, findings))
    assert not closure.is_complete
    assert [item.section for item in findings.items if item.level == "note"] == ["9.2.4", "9.2.4"]


def test_a_linked_directory_that_is_none_is_refused_or_leniently_left_out() -> None:
    carrier = Carrier({ROOT: ird({"map": entry(), "a": link("a")}), "https://alto.example.com/a": OK})
    with pytest.raises(DecodeError):
        carrier.run(fetch_closure(Session(), ROOT, Findings()))
    closure = carrier.run(fetch_closure(Session(), ROOT, Findings(strict=False)))
    assert not closure.is_complete


@pytest.mark.parametrize("response", [Response(404), Response(200), OK, answer([], media.DIRECTORY)])
def test_without_a_root_directory_there_is_no_closure(response: Response) -> None:
    with pytest.raises((ServerError, DecodeError)):
        Carrier({ROOT: response}).run(fetch_closure(Session(), ROOT, Findings(strict=False)))


def test_directories_without_end_end() -> None:
    def chain(request: Request) -> Response:
        number = len(carrier.requests)
        return ird({"map" if number == 1 else f"n{number}": entry(), f"to{number}": link(f"d{number}")})

    carrier = Carrier(chain)
    closure = carrier.run(fetch_closure(Session(), ROOT, Findings(strict=False)))
    assert len(carrier.requests) == MAX_DIRECTORIES
    assert not closure.is_complete
    links = {f"l{number}": link(f"/missing{number}") for number in range(1000)}
    carrier = Carrier({ROOT: ird({"map": entry(), **links})})
    carrier.run(fetch_closure(Session(), ROOT, Findings(strict=False)))
    assert len(carrier.requests) == MAX_DIRECTORIES


def test_a_directory_beyond_the_limit_is_refused_before_it_is_read() -> None:
    large = Response(200, (("Content-Type", media.DIRECTORY),), bytes(MAX_DIRECTORY + 1))
    with pytest.raises(DecodeError, match="IRD of more than"):
        Carrier({ROOT: large}).run(fetch_closure(Session(), ROOT, Findings(strict=False)))
