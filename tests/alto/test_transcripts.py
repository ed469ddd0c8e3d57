"""Each of the 27 exchanges recorded with the server of openalto: what is refused strictly, and forgiven leniently.

How our client gets along with that server is in test_client.py, test_client_costs.py and test_tips_client_foreign.py;
here each answer is read by itself, so that none is left out.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from alto import DecodeError
from alto.client.errors import server_error
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.findings import Findings, Level
from alto.http import Response
from alto.ird import parse_directory
from alto.networkmap import parse_network_map
from alto.patch import merge_patch
from alto.pathvector import parse_path_vector
from alto.propertymap import parse_property_map
from alto.tips_messages import parse_tips_view

TRANSCRIPTS = {
    each["name"]: each
    for each in json.loads((Path(__file__).parents[1] / "data" / "openalto_server_transcripts.json").read_text("utf-8"))
}
ROOT = "http://127.0.0.1:8000/directory/directory"

Exchange = Mapping[str, Any]
Reader = Callable[[Exchange, Findings], object]


def tree_of(exchange: Exchange) -> Any:
    return json.loads(exchange["response"]["body"])


def asked_of(exchange: Exchange) -> Any:
    return json.loads(exchange["request"]["body"])


def directory(exchange: Exchange, findings: Findings) -> object:
    return parse_directory(tree_of(exchange), findings, ROOT)


def network_map(exchange: Exchange, findings: Findings) -> object:
    return parse_network_map(tree_of(exchange), findings)


def cost_map(exchange: Exchange, findings: Findings) -> object:
    return parse_cost_map(tree_of(exchange), findings)


def endpoint_cost(exchange: Exchange, findings: Findings) -> object:
    return parse_endpoint_cost(tree_of(exchange), findings, params=asked_of(exchange))


def properties(exchange: Exchange, findings: Findings) -> object:
    return parse_property_map(tree_of(exchange), findings)


def path_vector(exchange: Exchange, findings: Findings) -> object:
    response = exchange["response"]
    return parse_path_vector(
        response["headers"]["Content-Type"], response["body"].encode(), findings, asked=asked_of(exchange)
    )


def view(exchange: Exchange, findings: Findings) -> object:
    return parse_tips_view(tree_of(exchange), findings, "http://127.0.0.1:8000/")


def error(exchange: Exchange, findings: Findings) -> object:
    """An answer that is none: it is an error with its status whatever it says, and what it says is noted."""
    response = exchange["response"]
    found = server_error(
        Response(response["status"], tuple(response["headers"].items()), response["body"].encode()), ROOT
    )
    for item in found.findings:
        findings.must(item.path, item.text, item.rfc, item.section)
    return found


@frozen
class Verdict:
    """How an answer is read."""

    read: Reader
    refusal: str | None = None
    """What a strict reader says; None where it has nothing to say."""
    forgiven: tuple[str, ...] = ()
    """The broken MUSTs that a lenient one notes."""
    of_no_use: str | None = None
    """Why a lenient reader has to give up all the same."""


_UNREGISTERED = Verdict(
    error,
    "meta/code: 'E_GENERIC_HTTP' is no registered code (RFC 7285 section 8.5.2)",
    ("must meta/code 7285 8.5.2",),
)
_COSTS = "endpoint-cost-map/ipv4:10.0.0.250"
VERDICTS = {
    "ird": Verdict(
        directory,
        "meta/default-alto-network-map: missing in a Root IRD (RFC 7285 section 9.2.2)",
        (
            "must meta/default-alto-network-map 7285 9.2.2",
            "must resources/geoip-misconfig/capabilities/mappings 9240 7.4",
        ),
    ),
    "networkmap static": Verdict(network_map),
    "networkmap mock": Verdict(network_map),
    "costmap static": Verdict(cost_map),
    "costmap stock MockService (bug)": Verdict(
        cost_map,
        "cost-map: missing (RFC 7285 section 11.2.3.6)",
        ("must cost-map 7285 11.2.3.6",),
        of_no_use="cost-map: there is none (RFC 7285 section 11.2.3.6)",
    ),
    "ecs": Verdict(endpoint_cost),
    "ecs malformed": _UNREGISTERED,
    "ecs missing endpoints": Verdict(error),
    "ecs no cost-type": Verdict(
        endpoint_cost,
        "meta/cost-type: an object is due, not None (RFC 7285 section 11.5.1.6)",
        ("must meta/cost-type 7285 11.5.1.6",),
        of_no_use="meta/cost-type: there is none (RFC 7285 section 11.5.1.6)",
    ),
    "ecs ordinal": Verdict(
        endpoint_cost,
        f"{_COSTS}/ipv4:10.0.0.253: 0.2 is no integer (RFC 7285 section 6.1.2.2)",
        (f"must {_COSTS}/ipv4:10.0.0.253 7285 6.1.2.2",),
    ),
    # That server knows no constraints, and sends everything.
    "ecs constraints": Verdict(
        endpoint_cost,
        f"{_COSTS}/ipv4:10.0.0.251: a cost that does not meet the constraints (RFC 7285 section 11.3.2.6)",
        tuple(
            f"must {_COSTS}/{end} 7285 11.3.2.6" for end in ("ipv4:10.0.0.251", "ipv4:10.0.0.253", "ipv6:2001:db8::1")
        ),
    ),
    "ecs wrong content-type": _UNREGISTERED,
    "ecs GET": _UNREGISTERED,
    "geodist (DB-IP city lite)": Verdict(endpoint_cost),
    "entity props": Verdict(properties, "meta: missing (RFC 7285 section 8.4)", ("must meta 7285 8.4",)),
    "path vector": Verdict(
        path_vector,
        "part application/alto-endpointcost+json: the Content-ID '<ecs@127.0.0.1:8000>' is not <PART@DOMAIN>"
        " (RFC 9275 section 6.6)",
        (
            "must part application/alto-endpointcost+json 9275 6.6",
            "must part application/alto-propmap+json 9275 6.6",
            "must endpoint-cost-map/10.1.0.2 7285 10.4.1",
            "must endpoint-cost-map/10.1.0.2/10.2.0.2 7285 10.4.1",
        ),
    ),
    "tips open": Verdict(
        view,
        "tips-view-uri: '/tips/dynamic-networkmap/9e688c58a5487b8eaf69c9e1005ad0bf' is relative (RFC 9569 section 6.2)",
        ("must tips-view-uri 9569 6.2",),
    ),
    "tips edge 0->100": Verdict(network_map),
    "tips edge 0->102": Verdict(network_map),
    "tips far future edge": _UNREGISTERED,
    "tips next-edge POST": Verdict(error),
    "tips unknown": Verdict(error),
}
ELSEWHERE = {
    "tips meta": "what the server has of a view, which the RFC does not have; the linter reads it, in test_lint.py",
    "tips close": "DELETE of a view, which the RFC does not have; 200 and no body",
    "tips edge 100->101": "a merge patch, applied below",
    "tips edge 101->102": "a merge patch, applied below",
    "tips edge 102->103": "a merge patch, applied below",
}


def test_every_exchange_is_read_or_it_is_said_why_not() -> None:
    assert len(TRANSCRIPTS) == 27
    assert sorted([*VERDICTS, *ELSEWHERE]) == sorted(TRANSCRIPTS)


@pytest.mark.parametrize("name", VERDICTS)
def test_a_strict_reader_refuses_with_the_clause_that_is_broken(name: str) -> None:
    verdict = VERDICTS[name]
    if verdict.refusal is None:
        assert verdict.read(TRANSCRIPTS[name], Findings()) is not None
        return
    with pytest.raises(DecodeError) as caught:
        verdict.read(TRANSCRIPTS[name], Findings())
    assert str(caught.value) == verdict.refusal


@pytest.mark.parametrize("name", VERDICTS)
def test_a_lenient_reader_notes_what_it_forgives(name: str) -> None:
    verdict, findings = VERDICTS[name], Findings(strict=False)
    if verdict.of_no_use is None:
        assert verdict.read(TRANSCRIPTS[name], findings) is not None
    else:
        with pytest.raises(DecodeError) as caught:
            verdict.read(TRANSCRIPTS[name], findings)
        assert str(caught.value) == verdict.of_no_use
    broken = [item for item in findings.items if item.level is Level.MUST]
    assert tuple(f"{item.level} {item.path} {item.rfc} {item.section}" for item in broken) == verdict.forgiven


@pytest.mark.parametrize(("name", "status"), [(name, TRANSCRIPTS[name]["response"]["status"]) for name in VERDICTS])
def test_what_is_no_success_is_an_error_and_nothing_else_is(name: str, status: int) -> None:
    assert (VERDICTS[name].read is error) == (status >= 400)


def test_the_patches_lead_from_one_snapshot_to_the_other() -> None:
    held = tree_of(TRANSCRIPTS["tips edge 0->100"])
    for edge in ("100->101", "101->102"):
        held = merge_patch(held, tree_of(TRANSCRIPTS[f"tips edge {edge}"]))
        parse_network_map(held, Findings())
    assert held == tree_of(TRANSCRIPTS["tips edge 0->102"])
    held = merge_patch(held, tree_of(TRANSCRIPTS["tips edge 102->103"]))
    parse_network_map(held, Findings())
