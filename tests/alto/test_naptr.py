"""U-NAPTR lookups: which records count, in what order, and what a zone made in bad faith can do."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError
from alto.naptr import (
    MAX_QUESTIONS,
    MAX_RECORDS,
    DnsAnswer,
    Lookup,
    Naptr,
    Status,
    absolute_name,
    look_up,
    parse_regexp,
    parse_service,
)

URI = "https://alto1.example.net/ird"


def record(
    uri: str = URI, *, order: int = 100, preference: int = 10, flags: str = "u", service: str = "ALTO:https"
) -> Naptr:
    return Naptr(order, preference, flags, service, f"!.*!{uri}!", ".")


def link(replacement: str, *, preference: int = 10, service: str = "ALTO:https") -> Naptr:
    return Naptr(100, preference, "", service, "", replacement)


def ask(
    zones: Mapping[str, DnsAnswer | list[Naptr]], service: str = "ALTO:https", *, require_dnssec: bool = False
) -> tuple[Lookup, list[str]]:
    """The lookup at example.net, and the names that were asked for."""
    asked: list[str] = []
    plan = look_up("example.net", service, require_dnssec=require_dnssec)
    try:
        question = next(plan)
        while True:
            asked.append(question.name)
            answer = zones.get(question.name, DnsAnswer(Status.NXDOMAIN))
            question = plan.send(DnsAnswer(Status.ANSWERED, tuple(answer)) if isinstance(answer, list) else answer)
    except StopIteration as stop:
        lookup: Lookup = stop.value
        return lookup, asked


def uris(*records: Naptr, service: str = "ALTO:https") -> list[str]:
    return [found.uri for found in ask({"example.net.": list(records)}, service)[0].uris]


def test_the_records_count_by_order_and_then_preference() -> None:
    records = [
        record("https://d/", order=200, preference=1),
        record("https://b/", preference=20),
        record("https://a/", preference=10),
        record("https://c/", preference=30),
    ]
    assert uris(*records) == ["https://a/", "https://b/", "https://c/", "https://d/"]


@pytest.mark.parametrize("service", ["alto:HTTPS", "ALTO:http:https", "Alto:x-foo:https"])
def test_the_service_is_compared_without_case_and_may_name_several_protocols(service: str) -> None:
    assert uris(record(service=service)) == [URI]


@pytest.mark.parametrize(
    "service", ["", "ALTO", "ALTO:http", "ALTOS:https", "SIP+D2T", "ALTO+https", "ALTO:https:", ":https"]
)
def test_records_of_other_services_do_not_count(service: str) -> None:
    assert uris(record(service=service)) == []


@pytest.mark.parametrize("flags", ["s", "a", "p", "uu", "x", " u"])
def test_records_with_another_flag_do_not_count(flags: str) -> None:
    assert uris(record("https://no/", flags=flags, preference=1), record()) == [URI]


def test_the_flag_has_no_case() -> None:
    assert uris(record(flags="U")) == [URI]


@pytest.mark.parametrize(
    "regexp",
    [
        "", "!", "!!", "!.*!!", "!.*!https://a/", "!^.*$!https://a/!", "/.*/https://a//", "!.*!https://a/!i",
        "!.*!/relative!", "!.*!https://a/ b!", "!.*!https://a/\\1!", "!.*!https://a/\n!", "!.*!https://a/%zz!",
        "!(a+)+$!https://a/!", "!.*!https://é/!",
    ],
)  # fmt: skip
def test_only_the_one_form_of_a_regular_expression_counts(regexp: str) -> None:
    assert parse_regexp(regexp) is None
    assert uris(Naptr(1, 1, "u", "ALTO:https", regexp, "."), record()) == [URI]


def test_a_uri_may_hold_the_delimiter() -> None:
    assert parse_regexp("!.*!https://a/!b!!") == "https://a/!b!"


@pytest.mark.parametrize("uri", ["https:", "https:a", "https://", "https:///ird", "https://user@host/", "https://a:b/"])
def test_a_uri_without_a_host_or_with_a_user_does_not_count(uri: str) -> None:
    assert uris(record(uri)) == []


@pytest.mark.parametrize("uri", ["https://a", "HTTPS://a:8443?x", "https://[2001:db8::1]:8443/ird", "https://a#b"])
def test_any_https_uri_counts(uri: str) -> None:
    assert uris(record(uri)) == [uri]


def test_a_record_for_https_that_leads_to_http_does_not_count() -> None:
    lookup, _ = ask({"example.net.": [record("http://a/")]})
    assert not lookup.uris
    assert "is not of the protocol https" in lookup.ignored[0]


def test_a_uri_is_of_the_protocol_that_was_asked_for_whatever_others_the_record_has() -> None:
    both = [record("http://a/", service="ALTO:http:https"), record("https://b/", service="ALTO:http:https")]
    assert uris(*both) == ["https://b/"]
    assert uris(*both, service="ALTO:http") == ["http://a/"]
    assert uris(*both, service="ALTO") == ["http://a/", "https://b/"]


def test_a_record_with_a_replacement_and_a_regular_expression_does_not_count() -> None:
    assert uris(Naptr(1, 1, "u", "ALTO:https", f"!.*!{URI}!", "a.example.")) == []
    assert uris(Naptr(1, 1, "", "ALTO:https", f"!.*!{URI}!", "a.example.")) == []


def test_a_record_without_a_flag_leads_to_the_records_of_its_replacement() -> None:
    zones = {"example.net.": [link("a.example."), record("https://b/", preference=20)], "a.example.": [record()]}
    lookup, asked = ask(zones)
    assert [(found.uri, found.name) for found in lookup.uris] == [(URI, "a.example."), ("https://b/", "example.net.")]
    assert asked == ["example.net.", "a.example."]


def test_where_a_replacement_has_no_records_the_next_record_counts() -> None:
    lookup, _ = ask({"example.net.": [link("a.example."), record(preference=20)]})
    assert [found.uri for found in lookup.uris] == [URI]
    assert lookup.status is Status.ANSWERED


def test_a_failure_behind_a_record_is_the_failure_of_the_lookup() -> None:
    lookup, _ = ask({"example.net.": [link("a.example.")], "a.example.": DnsAnswer(Status.TIMEOUT)})
    assert lookup.status is Status.TIMEOUT
    assert lookup.retry_after == 2.0


def test_protocols_are_not_switched_on_the_way() -> None:
    zones = {"example.net.": [link("a.example.")], "a.example.": [record("http://a/", service="ALTO:http")]}
    assert not ask(zones, "ALTO:https:http")[0].uris


def test_each_protocol_is_looked_up_to_its_end_before_the_next() -> None:
    records = [record("http://a/", service="ALTO:http", order=1), link("a.example.")]
    lookup, asked = ask({"example.net.": records, "a.example.": [record()]}, "ALTO:https:http")
    assert [found.uri for found in lookup.uris] == [URI, "http://a/"]
    assert asked == ["example.net.", "a.example."]


@pytest.mark.parametrize(
    ("service", "uri"),
    [("x-foo:x-bar", "x-bar:anything"), ("EM:protA", "prota://someisp.example.com"), ("WP", "ldap://a"), ("", "urn:a")],
)
def test_any_service_parameter_can_be_looked_up(service: str, uri: str) -> None:
    assert uris(record(uri, service=service), service=service) == [uri]


@pytest.mark.parametrize("service", ["é", "1a", "a b", "a::b", "a" * 33, "a+b:c_d", "a:"])
def test_what_is_no_service_parameter_is_refused(service: str) -> None:
    with pytest.raises(ValueError, match="no U-NAPTR service"):
        parse_service(service)
    with pytest.raises(ConfigurationError):
        next(look_up("example.net", service))


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "a" * 64, ".".join(["a" * 63] * 4), "é", "-a"])
def test_what_is_no_domain_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no domain name"):
        absolute_name(name)


def test_a_loop_of_records_ends() -> None:
    lookup, asked = ask({"example.net.": [link("A.example.")], "A.example.": [link("EXAMPLE.net."), record()]})
    assert [found.uri for found in lookup.uris] == [URI]
    assert asked == ["example.net.", "A.example."]
    assert any("in a loop" in text for text in lookup.ignored)


def test_a_zone_can_make_a_client_ask_only_so_many_questions() -> None:
    names = [f"a{number}.example." for number in range(100)]
    every = [link(name) for name in names]
    lookup, asked = ask({"example.net.": every, **dict.fromkeys(names, every)})
    assert len(asked) == MAX_QUESTIONS
    assert not lookup.uris


def test_only_so_many_records_of_an_answer_count() -> None:
    assert len(uris(*[record(f"https://a/{number}", preference=number) for number in range(5000)])) == MAX_RECORDS


def test_a_uri_that_is_there_twice_counts_once() -> None:
    assert uris(record(), record(preference=20)) == [URI]


def test_what_dnssec_has_proven_is_passed_on() -> None:
    proven = DnsAnswer(Status.ANSWERED, (record(),), is_authenticated=True)
    lookup, _ = ask({"example.net.": proven}, require_dnssec=True)
    assert [found.is_authenticated for found in lookup.uris] == [True]


def test_proof_is_needed_on_the_whole_way() -> None:
    zones = {
        "example.net.": [link("a.example.")],
        "a.example.": DnsAnswer(Status.ANSWERED, (record(),), is_authenticated=True),
    }
    lookup, _ = ask(zones)
    assert [found.is_authenticated for found in lookup.uris] == [False]
    lookup, asked = ask(zones, require_dnssec=True)
    assert not lookup.uris
    assert asked == ["example.net."]


def test_how_long_to_wait_depends_on_the_failure() -> None:
    def wait(answer: DnsAnswer) -> float | None:
        return ask({"example.net.": answer})[0].retry_after

    assert wait(DnsAnswer(Status.TIMEOUT)) == 2.0
    assert wait(DnsAnswer(Status.SERVFAIL)) == 5.0
    assert wait(DnsAnswer(Status.NXDOMAIN)) == 900.0
    assert wait(DnsAnswer(Status.NXDOMAIN, negative_ttl=60.0)) == 60.0
    assert wait(DnsAnswer(Status.TIMEOUT, negative_ttl=60.0)) == 2.0
    assert wait(DnsAnswer(Status.ANSWERED, negative_ttl=0.0)) == 5.0
    assert wait(DnsAnswer(Status.NXDOMAIN, negative_ttl=2.0**31)) == 10_800.0
    assert wait(DnsAnswer(Status.ANSWERED, (record(),))) is None


_NAMES = st.sampled_from(["example.net.", "a.example.", "b.example.", "."])
_RECORDS = st.builds(
    Naptr,
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["u", "", "s", "?"]) | st.text(max_size=3),
    st.sampled_from(["ALTO:https", "alto:http"]) | st.text(max_size=8),
    st.sampled_from([f"!.*!{URI}!", ""]) | st.text(max_size=12),
    _NAMES | st.text(max_size=8),
)


@given(st.dictionaries(_NAMES, st.lists(_RECORDS, max_size=6), max_size=4))
def test_any_records_end_in_a_lookup(zones: dict[str, list[Naptr]]) -> None:
    lookup, asked = ask(zones, "ALTO:https:http")
    assert all(found.uri == URI or found.uri.startswith("http") for found in lookup.uris)
    assert len(asked) <= MAX_QUESTIONS
