"""Discovery over real DNS servers on loopback: Knot DNS with a signed zone, and Unbound, which validates."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import pytest
from alto_dns import are_there, dns_servers

from alto import ConfigurationError
from alto.discovery import Discovery
from alto.naptr import Question, Status
from interop import alto_discovery
from interop.alto_discovery import DnsResolver, discover, search_domains


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if not are_there():
        pytest.fail("needs knotd, keymgr and unbound: the Debian packages knot and unbound")
    with dns_servers(tmp_path_factory.mktemp("dns")) as found:
        yield found


def found(port: int, subject: str, service: str = "ALTO:https", *, require_dnssec: bool = False) -> Discovery:
    resolver = DnsResolver(["127.0.0.1"], port=port)
    return asyncio.run(discover(subject, service, resolver=resolver, retries=0, require_dnssec=require_dnssec))


def uris(discovery: Discovery) -> list[str]:
    return [uri.uri for uri in discovery.uris]


def test_a_domain_has_its_servers_in_order(port: int) -> None:
    discovery = found(port, "example.net")
    assert [(uri.uri, uri.order, uri.preference) for uri in discovery.uris] == [
        ("https://alto1.example.net/ird", 100, 10),
        ("https://alto2.example.net/ird", 100, 20),
    ]


def test_a_record_without_a_flag_is_followed(port: int) -> None:
    assert uris(found(port, "far.example.net")) == ["https://far.example.org/ird"]


def test_an_alias_is_followed(port: int) -> None:
    assert len(uris(found(port, "alias.example.net."))) == 2


def test_an_ipv4_address_is_found_at_its_slash_24(port: int) -> None:
    discovery = found(port, "198.51.100.3")
    assert uris(discovery) == ["https://alto1.example.net/ird", "https://alto2.example.net/ird"]
    assert [(lookup.name, lookup.status) for lookup in discovery.lookups] == [
        ("3.100.51.198.IN-ADDR.ARPA.", Status.NXDOMAIN),
        ("100.51.198.IN-ADDR.ARPA.", Status.ANSWERED),
    ]


def test_an_ipv6_address_is_found_at_its_slash_32(port: int) -> None:
    discovery = found(port, "2001:db8::20")
    assert uris(discovery) == ["https://six.example.net/ird"]
    assert len(discovery.lookups) == 6


def test_dnssec_proves_what_a_signed_zone_says(port: int) -> None:
    discovery = found(port, "signed.example", require_dnssec=True)
    assert [(uri.uri, uri.is_authenticated) for uri in discovery.uris] == [("https://alto.signed.example/ird", True)]


def test_what_is_not_signed_is_not_proven(port: int) -> None:
    assert [uri.is_authenticated for uri in found(port, "example.net").uris] == [False, False]
    discovery = found(port, "example.net", require_dnssec=True)
    assert not discovery.uris
    assert discovery.lookups[0].ignored == ("example.net.: the answer is not proven by DNSSEC",)


def test_a_forged_zone_is_not_believed(port: int) -> None:
    discovery = found(port, "forged.example")
    assert not discovery.uris
    assert discovery.has_temporary_failure


def test_the_ad_bit_counts_only_where_the_resolver_is_trusted(port: int) -> None:
    resolver = DnsResolver(["127.0.0.1"], port=port, trust_ad=False)
    discovery = asyncio.run(discover("signed.example", resolver=resolver))
    assert [uri.is_authenticated for uri in discovery.uris] == [False]


def test_a_name_that_does_not_exist_is_no_temporary_failure(port: int) -> None:
    discovery = found(port, "nowhere.example")
    assert discovery.lookups[0].status is Status.NXDOMAIN
    assert not discovery.has_temporary_failure


def test_the_zone_says_how_long_an_absence_holds(port: int) -> None:
    discovery = found(port, "www.example.net")
    assert discovery.lookups[0].status is Status.ANSWERED
    assert discovery.retry_after is not None
    assert 0 < discovery.retry_after <= 77


def test_a_refusal_is_a_temporary_failure(port: int) -> None:
    discovery = found(port, "broken.example")
    assert discovery.lookups[0].status is Status.SERVFAIL


def test_another_service_is_not_there(port: int) -> None:
    assert not found(port, "example.net", "ALTO:http").uris


def test_silence_is_a_timeout() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = DnsResolver(["127.0.0.1"], port=silent.getsockname()[1], timeout=0.2)
        discovery = asyncio.run(discover("198.51.100.3", resolver=resolver, retries=0))
    assert [lookup.status for lookup in discovery.lookups] == [Status.TIMEOUT] * 4
    assert discovery.has_temporary_failure


def test_a_question_waits_its_time_and_asks_for_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits AD and DO, without which no resolver says what DNSSEC has proven."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        waits.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = DnsResolver(["127.0.0.1"], port=silent.getsockname()[1], timeout=0.1)
        answer = asyncio.run(resolver.ask(Question("example.net.", delay=3.0)))
        query = dns.message.from_wire(silent.recv(4096))
    assert (answer.status, waits[0]) == (Status.TIMEOUT, 3.0)
    assert query.question[0].to_text() == "example.net. IN NAPTR"
    assert query.flags & dns.flags.AD
    assert query.ednsflags & dns.flags.DO


@pytest.mark.parametrize(("ttl", "minimum"), [(300, 60), (60, 300)])
def test_the_shorter_of_two_times_is_that_of_an_absence(ttl: int, minimum: int) -> None:
    """RFC 2308 section 5."""
    text = f"id 1\nrcode NXDOMAIN\nflags QR\n;AUTHORITY\nexample. {ttl} IN SOA a. b. 1 2 3 4 {minimum}\n"
    answer = DnsResolver(["127.0.0.1"])._negative(Status.NXDOMAIN, dns.message.from_text(text))
    assert answer.negative_ttl == 60.0


@pytest.mark.parametrize(
    ("servers", "is_trusted"),
    [
        (["127.0.0.1"], True),
        (["::1", "127.0.0.53"], True),
        (["192.0.2.1"], False),
        (["127.0.0.1", "2001:db8::1"], False),
    ],
)
def test_only_resolvers_of_this_host_are_trusted_unasked(servers: list[str], is_trusted: bool) -> None:
    proven = dns.message.from_text("id 1\nflags QR AD\n")
    assert DnsResolver(servers)._ad(proven) is is_trusted
    assert DnsResolver(servers, trust_ad=True)._ad(proven)
    assert not DnsResolver(servers, trust_ad=True)._ad(dns.message.from_text("id 1\nflags QR\n"))


def test_the_domains_of_this_host_are_those_of_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# a comment\nnameserver 192.0.2.1\ndomain old.example\nsearch a.example. b.example\noptions trust-ad\n"
    )
    assert search_domains(path) == ("a.example", "b.example")
    path.write_text("search a.example\nsearch b.example\n")
    assert search_domains(path) == ("b.example",)
    path.write_text("domain example.net\n")
    assert search_domains(path) == ("example.net",)
    path.write_text("search .\n")
    assert search_domains(path) == ()
    assert search_domains(tmp_path / "none") == ()


def test_without_a_subject_the_domains_of_this_host_are_looked_up(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search nowhere.example example.net\n")
    monkeypatch.setattr(search_domains, "__defaults__", (path,))
    resolver = DnsResolver(["127.0.0.1"], port=port)
    assert len(asyncio.run(discover(resolver=resolver)).uris) == 2
    path.write_text("nameserver 127.0.0.1\n")
    with pytest.raises(ConfigurationError, match="names no domain"):
        asyncio.run(discover(resolver=resolver))


@pytest.mark.parametrize("subject", ["300.1.2.3", "10.0.0.0/33", "2001:db8::/8", "a b", "", "-", "bücher..example"])
def test_what_is_no_subject_is_refused(subject: str) -> None:
    with pytest.raises(ConfigurationError):
        asyncio.run(discover(subject, resolver=DnsResolver(["127.0.0.1"])))


def test_a_domain_outside_ascii_becomes_one_inside() -> None:
    assert alto_discovery._ascii("bücher.example") == "xn--bcher-kva.example."


def test_what_is_no_name_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no DNS resolver"):
        DnsResolver(["not an address"])
