"""Discovery of ALTO servers: RFC 7286 for one's own networks, RFC 8686 for any address or prefix."""

from collections.abc import Mapping
from typing import TypeVar

import pytest

from alto import ConfigurationError
from alto.discovery import (
    AccessNetwork,
    UnsupportedPrefixLengthError,
    discover_cross_domain,
    discover_domains,
    discover_local,
    reverse_names,
)
from alto.naptr import DnsAnswer, Naptr, Plan, Question, Status

_T = TypeVar("_T")

URI = "https://alto1.example.net/ird"
FOUND = DnsAnswer(Status.ANSWERED, (Naptr(100, 10, "u", "ALTO:https", f"!.*!{URI}!", ""),))
TIMEOUT = DnsAnswer(Status.TIMEOUT)
SERVFAIL = DnsAnswer(Status.SERVFAIL)
NXDOMAIN = DnsAnswer(Status.NXDOMAIN)
EMPTY = DnsAnswer(Status.ANSWERED)
V6 = "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.IP6.ARPA."


def run(plan: Plan[_T], zones: Mapping[str, list[DnsAnswer]]) -> tuple[_T, list[Question]]:
    """The result, and the questions; the answers to one name are used up one after the other."""
    asked: list[Question] = []
    left = {name: list(answers) for name, answers in zones.items()}
    try:
        question = next(plan)
        while True:
            asked.append(question)
            question = plan.send(left[question.name].pop(0) if left.get(question.name) else NXDOMAIN)
    except StopIteration as stop:
        result: _T = stop.value
        return result, asked


def names(asked: list[Question]) -> list[str]:
    return [question.name for question in asked]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("198.51.100.3", ["3.100.51.198.", "100.51.198.", "51.198.", "198."]),
        ("198.51.100.3/32", ["3.100.51.198.", "100.51.198.", "51.198.", "198."]),
        ("198.51.100.3/31", ["100.51.198.", "51.198.", "198."]),
        ("198.51.100.0/24", ["100.51.198.", "51.198.", "198."]),
        ("198.51.100.0/23", ["51.198.", "198."]),
        ("198.51.0.0/16", ["51.198.", "198."]),
        ("198.50.0.0/15", ["198."]),
        ("198.0.0.0/8", ["198."]),
    ],
)
def test_table_1_for_ipv4(subject: str, expected: list[str]) -> None:
    assert reverse_names(subject) == tuple(name + "IN-ADDR.ARPA." for name in expected)


@pytest.mark.parametrize(
    ("length", "skipped"),
    [
        (128, [0, 16, 18, 20, 22, 24]),
        (127, [16, 18, 20, 22, 24]),
        (64, [16, 18, 20, 22, 24]),
        (63, [18, 20, 22, 24]),
        (56, [18, 20, 22, 24]),
        (55, [20, 22, 24]),
        (48, [20, 22, 24]),
        (47, [22, 24]),
        (40, [22, 24]),
        (39, [24]),
        (32, [24]),
    ],
)
def test_table_1_for_ipv6(length: int, skipped: list[int]) -> None:
    expected = tuple(V6.split(".", count)[-1] for count in skipped)
    assert reverse_names(f"2001:0DB8::20/{length}") == expected


@pytest.mark.parametrize("subject", ["198.51.100.0/7", "0.0.0.0/0", "2001:db8::/31", "::/0"])
def test_too_short_a_prefix_is_an_error_of_its_own(subject: str) -> None:
    with pytest.raises(UnsupportedPrefixLengthError, match="unsupported prefix length"):
        next(discover_cross_domain(subject))


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "x",
        "198.51.100",
        "198.51.100.3/33",
        "198.51.100.3/",
        "::1/129",
        "::1/-1",
        "::1/²",
        "::%1",
        "1.2.3.4/024x",
        "1.2.3.4/024",
        "::/064",
        "1.2.3.4/24 ",
    ],
)
def test_what_is_no_address_or_prefix_is_refused(subject: str) -> None:
    with pytest.raises(ConfigurationError):
        next(discover_cross_domain(subject))


def test_the_first_name_that_has_servers_ends_the_search() -> None:
    discovery, asked = run(discover_cross_domain("198.51.100.3"), {"100.51.198.IN-ADDR.ARPA.": [FOUND]})
    assert [(found.uri, found.order, found.preference) for found in discovery.uris] == [(URI, 100, 10)]
    assert names(asked) == ["3.100.51.198.IN-ADDR.ARPA.", "100.51.198.IN-ADDR.ARPA."]
    assert not discovery.has_temporary_failure
    assert discovery.retry_after is None


def test_nothing_found_is_an_empty_list() -> None:
    discovery, asked = run(discover_cross_domain("2001:db8::20"), {"8.B.D.0.1.0.0.2.IP6.ARPA.": [EMPTY]})
    assert discovery.uris == ()
    assert not discovery.has_temporary_failure
    assert len(asked) == 6
    assert discovery.retry_after == 900.0


def test_a_temporary_failure_is_reported_and_the_next_name_asked_at_once() -> None:
    zones = {
        "3.100.51.198.IN-ADDR.ARPA.": [TIMEOUT],
        "100.51.198.IN-ADDR.ARPA.": [SERVFAIL],
        "51.198.IN-ADDR.ARPA.": [FOUND],
    }
    discovery, asked = run(discover_cross_domain("198.51.100.3"), zones)
    assert [found.uri for found in discovery.uris] == [URI]
    assert discovery.has_temporary_failure
    assert discovery.retry_after == 2.0
    assert [lookup.status for lookup in discovery.lookups] == [Status.TIMEOUT, Status.SERVFAIL, Status.ANSWERED]
    assert [question.delay for question in asked] == [0.0, 0.0, 0.0]


def test_failures_are_retried_after_all_names_and_after_a_wait() -> None:
    zones = {
        "3.100.51.198.IN-ADDR.ARPA.": [TIMEOUT, NXDOMAIN],
        "100.51.198.IN-ADDR.ARPA.": [NXDOMAIN, FOUND],
        "51.198.IN-ADDR.ARPA.": [SERVFAIL, FOUND],
    }
    discovery, asked = run(discover_cross_domain("198.51.100.3"), zones)
    assert [(question.name.split(".")[0], question.delay) for question in asked] == [
        ("3", 0.0), ("100", 0.0), ("51", 0.0), ("198", 0.0), ("3", 5.0), ("51", 0.0),
    ]  # fmt: skip
    assert [found.uri for found in discovery.uris] == [URI]
    assert not discovery.has_temporary_failure


def test_retries_wait_longer_each_time_and_end() -> None:
    zones = {"198.IN-ADDR.ARPA.": [TIMEOUT] * 9}
    discovery, asked = run(discover_cross_domain("198.0.0.0/8", retries=3), zones)
    assert [question.delay for question in asked] == [0.0, 2.0, 4.0, 8.0]
    assert discovery.has_temporary_failure
    _, asked = run(discover_cross_domain("198.0.0.0/8", retries=0), zones)
    assert len(asked) == 1


def test_any_service_parameter_may_be_asked_for() -> None:
    answer = DnsAnswer(Status.ANSWERED, (Naptr(1, 1, "u", "X-Foo:x-bar", "!.*!x-bar:a!", ""),))
    discovery, _ = run(discover_cross_domain("198.0.0.0/8", "x-foo:X-BAR"), {"198.IN-ADDR.ARPA.": [answer]})
    assert [found.uri for found in discovery.uris] == ["x-bar:a"]
    with pytest.raises(ConfigurationError):
        next(discover_cross_domain("198.0.0.0/8", "no service"))


def test_dnssec_can_be_asked_for_and_its_status_is_passed_through() -> None:
    proven = DnsAnswer(Status.ANSWERED, FOUND.records, is_authenticated=True)
    zones = {"100.51.198.IN-ADDR.ARPA.": [FOUND], "51.198.IN-ADDR.ARPA.": [proven]}
    discovery, _ = run(discover_cross_domain("198.51.100.0/24"), zones)
    assert [found.is_authenticated for found in discovery.uris] == [False]
    discovery, asked = run(discover_cross_domain("198.51.100.0/24", require_dnssec=True), zones)
    assert [found.is_authenticated for found in discovery.uris] == [True]
    assert len(asked) == 2


def test_the_first_domain_with_servers_is_taken() -> None:
    zones = {"a.example.": [EMPTY], "example.net.": [FOUND]}
    discovery, asked = run(discover_domains(["a.example", "a.example.", "example.net", "b.example"]), zones)
    assert [found.uri for found in discovery.uris] == [URI]
    assert names(asked) == ["a.example.", "example.net."]


V4_OPTIONS = b"\x0f\x0bexample.net\xd5\x09\x07example\x00"
V6_OPTIONS = b"\x00\x39\x00\x0d\x07example\x03net\x00"


def test_a_configured_domain_goes_before_the_default_and_that_before_dhcp() -> None:
    networks = [
        AccessNetwork("eth0", 4, "mine.example", V4_OPTIONS),
        AccessNetwork("eth0", 6, None, V6_OPTIONS),
    ]
    results, _ = run(discover_local(networks, default_domain="default.example"), {})
    assert [result.domain for result in results] == ["mine.example.", "default.example."]


def test_dhcp_names_the_domain_of_each_interface_and_family() -> None:
    networks = [
        AccessNetwork("eth0", 4, dhcp_options=V4_OPTIONS),
        AccessNetwork("eth0", 6, dhcp_options=V6_OPTIONS),
        AccessNetwork("wlan0", 4, dhcp_options=V4_OPTIONS[:13]),
        AccessNetwork("wlan0", 6, dhcp_options=b""),
    ]
    results, asked = run(discover_local(networks), {"example.net.": [FOUND]})
    assert [result.domain for result in results] == ["example.", "example.net.", "example.net.", None]
    assert [result.network for result in results] == networks
    assert [bool(result.discovery and result.discovery.uris) for result in results] == [False, True, True, False]
    assert names(asked) == ["example.", "example.net."]


def test_malformed_dhcp_is_a_failure_of_that_network_only() -> None:
    networks = [AccessNetwork("eth0", 6, dhcp_options=b"\x00\x39\x00"), AccessNetwork("eth0", 4, "example.net")]
    results, _ = run(discover_local(networks), {"example.net.": [FOUND]})
    assert results[0].domain is None
    assert results[0].problem is not None
    assert "cut short" in results[0].problem
    assert results[1].discovery is not None
    assert results[1].discovery.uris


def test_a_changed_address_invalidates_what_was_found() -> None:
    before = AccessNetwork("eth0", 4, "example.net", addresses=frozenset({"192.0.2.1"}))
    results, _ = run(discover_local([before]), {"example.net.": [FOUND]})
    assert results[0].is_valid(before)
    assert not results[0].is_valid(AccessNetwork("eth0", 4, "example.net", addresses=frozenset({"192.0.2.2"})))


def test_the_records_of_rfc_7286_give_its_uris() -> None:
    records = (
        Naptr(100, 10, "u", "ALTO:https", "!.*!https://alto1.example.net/ird!", ""),
        Naptr(100, 20, "u", "ALTO:https", "!.*!https://alto2.example.net/ird!", ""),
    )
    zones = {"example.net.": [DnsAnswer(Status.ANSWERED, records[::-1])]}
    discovery, _ = run(discover_domains(["example.net"]), zones)
    assert [found.uri for found in discovery.uris] == ["https://alto1.example.net/ird", "https://alto2.example.net/ird"]
