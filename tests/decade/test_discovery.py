"""Finding a server: places in their order, DNS-SD, and whether what is named is a server of DECADE at all."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.discovery import (
    MAX_INSTANCES,
    MAX_SERVERS,
    AltoProperty,
    Configured,
    DnsQuestion,
    DnsSd,
    NamedQuestion,
    NoServerError,
    RecordKind,
    Redir,
    Source,
    Srv,
    discover,
)
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, encode_message
from decade.settings import Settings

PTR, SRV, TXT = RecordKind
BROWSE = DnsQuestion("_decade._tcp.example.net.", PTR)
ONE = "One._decade._tcp.example.net."


def info(server, **changes):
    return attrs.evolve(Settings(server=server).info, **changes)


def answer(octets, media_type=MEDIA_TYPE, status=200):
    return Response(status, (("Content-Type", media_type),), octets)


def servers(*origins):
    return {origin: answer(encode_message(info(origin))) for origin in origins}


def run(places, *, dns=(), named=(), http=(), random=0):
    """The result of a plan, and what it has asked."""
    dns, named, http, asked = dict(dns), dict(named), dict(http), []
    plan = discover(places, lambda size: random.to_bytes(size))
    reply = None
    while True:
        try:
            step = plan.send(reply)
        except StopIteration as end:
            return end.value, asked
        except NoServerError as error:
            return error, asked
        asked.append(step)
        match step:
            case DnsQuestion():
                reply = dns.get(step, ())
            case NamedQuestion(source):
                reply = named.get(source, ())
            case Request():
                assert step.target.endswith("/.well-known/decade")
                reply = http.get(step.target.removesuffix("/.well-known/decade"))


def found(result):
    return [(server.info.server, server.source) for server in result]


def test_the_first_place_that_has_a_server_is_the_one():
    places = (Configured(("https://a.example",)), DnsSd("example.net"), AltoProperty(), Redir())
    named = {
        Source.ALTO: ("https://b.example https://c.example:8443", "http://no.example", "https://b.example:65536"),
        Source.RELOAD: (),
    }
    result, asked = run(places, named=named, http=servers("https://c.example:8443", "https://b.example"))
    assert found(result) == [("https://b.example", Source.ALTO), ("https://c.example:8443", Source.ALTO)]
    assert [step for step in asked if not isinstance(step, Request)] == [BROWSE, NamedQuestion(Source.ALTO)]
    targets = [step.target.partition("/.w")[0] for step in asked if isinstance(step, Request)]
    assert targets == ["https://a.example", "https://b.example", "https://c.example:8443"]
    result, _ = run(places, named={Source.RELOAD: ("https://d.example",)}, http=servers("https://d.example"))
    assert found(result) == [("https://d.example", Source.RELOAD)]


def test_without_a_server_the_error_says_what_was_tried():
    result, _ = run((Configured(("https://a.example",)), DnsSd("example.net")))
    assert isinstance(result, NoServerError)
    assert result.reasons == (
        "configured: https://a.example: does not answer",
        "dns-sd: no server is named",
    )
    assert str(run(())[0]) == "no server is named anywhere"


def test_a_configured_server_may_be_on_this_host():
    origin = "http://127.0.0.1:8080"
    result, _ = run((Configured((origin, origin)),), http=servers(origin))
    assert found(result) == [(origin, Source.CONFIGURED)]


def test_dns_sd_goes_from_the_service_to_instances_to_hosts():
    dns = {
        BROWSE: (ONE, "other.example.net."),
        DnsQuestion(ONE, TXT): (b"txtvers=1", b"V=2,1", b"v=3"),
        DnsQuestion(ONE, SRV): (Srv(1, 0, 8443, "B.example."), Srv(0, 0, 443, "a.example."), Srv(0, 0, 1, ".")),
    }
    result, asked = run((DnsSd("example.net."),), dns=dns, http=servers("https://a.example", "https://b.example:8443"))
    assert found(result) == [("https://a.example", Source.DNS_SD), ("https://b.example:8443", Source.DNS_SD)]
    assert asked[:3] == [BROWSE, DnsQuestion(ONE, TXT), DnsQuestion(ONE, SRV)]


@pytest.mark.parametrize("strings", [(b"v=2",), (b"v=",), (b"v=\xff", b"v=1")])
def test_an_instance_of_other_versions_is_left_alone(strings):
    dns = {BROWSE: (ONE,), DnsQuestion(ONE, TXT): strings, DnsQuestion(ONE, SRV): (Srv(0, 0, 443, "a.example."),)}
    result, asked = run((DnsSd("example.net"),), dns=dns, http=servers("https://a.example"))
    assert isinstance(result, NoServerError)
    assert DnsQuestion(ONE, SRV) not in asked


@pytest.mark.parametrize(
    ("random", "order"), [(0, "zab"), (1, "abz"), (10, "abz"), (11, "baz"), (30, "baz"), (31, "zab")]
)
def test_weights_decide_among_records_of_one_priority(random, order):
    records = (Srv(5, 20, 443, "b."), Srv(5, 10, 443, "a."), Srv(5, 0, 443, "z."), Srv(6, 99, 443, "last."))
    dns = {BROWSE: (ONE,), DnsQuestion(ONE, SRV): records}
    names = [f"https://{name}" for name in (*"abz", "last")]
    result, _ = run((DnsSd("example.net"),), dns=dns, http=servers(*names), random=random)
    assert found(result)[0][0] == f"https://{order[0]}"
    assert found(result)[-1][0] == "https://last"
    assert len(result) == 4


def test_a_zone_made_in_bad_faith_is_not_asked_for_ever():
    instances = [f"{at:03}._decade._tcp.example.net." for at in range(500)]
    dns = {BROWSE: tuple(instances)}
    for instance in instances:
        dns[DnsQuestion(instance, SRV)] = tuple(Srv(at, 0, 443, f"{instance[:3]}-{at}.example.") for at in range(500))
    result, asked = run((DnsSd("example.net"),), dns=dns)
    assert isinstance(result, NoServerError)
    assert len(asked) == 1 + 2 * MAX_INSTANCES + MAX_SERVERS


def test_the_identifier_decides_where_a_server_is_named_by_another_name():
    alias = answer(encode_message(info("https://a.example")))
    http = servers("https://a.example") | {"https://host7.example": alias, "https://host8.example": alias}
    result, _ = run((Configured(("https://host7.example", "https://host8.example")),), http=http)
    assert found(result) == [("https://a.example", Source.CONFIGURED)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(b"", status=404), "is no server of DECADE: it answers 404"),
        (answer(b"\xa0", "text/html"), "is no server of DECADE: it answers 200"),
        (answer(b"\xa0"), "is no server of DECADE: messages of type None are not known"),
        (answer(encode_message(info("https://a.example", versions=(2,)))), "does not speak version 1"),
        (answer(encode_message(attrs.evolve(info("https://a.example"), server="ftp://x"))), "calls itself 'ftp://x'"),
        (
            answer(encode_message(attrs.evolve(info("https://a.example"), server="https://b.example:70000"))),
            "calls itself 'https://b.example:70000'",
        ),
        (answer(encode_message(info("https://b.example"))), "does not answer"),
    ],
)
def test_what_is_no_server_is_said_to_be_none(said, reason):
    result, _ = run((Configured(("https://a.example",)),), http={"https://a.example": said})
    assert result.reasons == (f"configured: https://a.example: {reason}",)


def test_two_that_point_at_each_other_are_no_servers():
    http = {
        "https://a.example": answer(encode_message(info("https://b.example"))),
        "https://b.example": answer(encode_message(info("https://a.example"))),
    }
    result, asked = run((Configured(("https://a.example",)),), http=http)
    assert "which calls itself 'https://a.example'" in result.reasons[0]
    assert len(asked) == 2


@given(
    st.lists(st.text(max_size=12) | st.just(ONE), max_size=3),
    st.lists(st.binary(max_size=9), max_size=3),
    st.lists(st.builds(Srv, *[st.integers(0, 65535)] * 3, st.text("aA.-_\n[]:", max_size=9)), max_size=3),
    st.binary(max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_whatever_the_dns_and_servers_say_the_end_is_servers_or_an_error(names, strings, records, octets, random):
    dns = {BROWSE: tuple(names)}
    for name in names:
        dns |= {DnsQuestion(name, TXT): tuple(strings), DnsQuestion(name, SRV): tuple(records)}
    result, asked = run((DnsSd("example.net"),), dns=dns, random=random)
    assert isinstance(result, NoServerError)
    fetched = {
        step.target.removesuffix("/.well-known/decade"): answer(octets) for step in asked if isinstance(step, Request)
    }
    assert isinstance(run((DnsSd("example.net"),), dns=dns, http=fetched, random=random)[0], NoServerError)
