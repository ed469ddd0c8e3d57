"""Names of the SIP usage: addresses of record, domains, GRUUs, and the way to whom a URI names."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.configuration_extensions import DomainRestrictions
from reload.destinations import Destination, NodeDestination, OpaqueDestination, encode_destinations
from reload.errors import DecodeError, EncodeError
from reload.usages.sip_names import (
    Domains,
    External,
    Gruu,
    Hosted,
    anonymous_gruu,
    domain_of,
    find_way,
    read_aor,
    read_gruu,
    write_gruu,
)

OVERLAY = "overlay.example.org"
NODE = bytes(range(16))
ANY = Domains(OVERLAY, None)


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("alice@example.com", "alice@example.com"),
        ("sip:alice@example.com", "alice@example.com"),
        ("SIPS:alice@example.com", "alice@example.com"),
        ("sip:alice@example.com:5061;transport=tcp?subject=x%20y", "alice@example.com"),
        ("sip:al%69ce@ex%61mple.com", "alice@example.com"),
        ("sip:alice%2Bwork@example.com", "alice+work@example.com"),
        ("sip:+1-212-555-1212;ext=5@example.com;user=phone", "+1-212-555-1212;ext=5@example.com"),
        ("sip:a?b@example.com", "a?b@example.com"),
        ("sip:Alice@Example.COM", "Alice@Example.COM"),
        ("al%69ce@example.com", "al%69ce@example.com"),
        ("sip:al%2569ce@example.com", "al%69ce@example.com"),
    ],
)
def test_an_address_of_record_is_what_a_certificate_has(uri: str, aor: str) -> None:
    assert read_aor(uri) == aor
    assert domain_of(aor).lower().startswith("example.com")


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "",
            "sip:",
            "alice",
            "sip:alice",
            "@example.com",
            "alice@",
            "sip:alice@@example.com",
            "sip:a%40b@example.com",
        ),
        *("sip:alice@ex ample.com", "sip:al ice@example.com", "sip:al%20ice@example.com", "sip:al%00ice@example.com"),
        *("sip:al%ice@example.com", "sip:al%6@example.com", "sip:%C3%A9@example.com", "sip:%FF@example.com"),
        *(
            "sip:alice@ex\xe4mple.com",
            "sip:alice@[2001:db8::1]",
            "sip:alice@" + "a" * 254,
            "x" * 4100 + "@example.com",
        ),
        *("sip:alice@example.com;a=1;A=2", "sip:alice:secret@example.com", "sip:sip:alice@example.com"),
        *("alice@example.com;a=\r\nVia: b", "sip:alice@example.com;a=b c", "sip:alice@example.com?a=\0"),
        *("alice@example.com;a=\xe4", "alice@example.com;a=\ud800", "alice@example.com\n"),
    ],
)
def test_what_no_certificate_can_have_is_no_address_of_record(uri: str) -> None:
    with pytest.raises(DecodeError):
        read_aor(uri)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(uri: str) -> None:
    try:
        find_way(uri, ANY)
    except DecodeError:
        return
    assert read_aor(read_aor(uri)) == read_aor(uri)


class TestDomains:
    def test_without_restrictions_any_domain_is_accepted(self) -> None:
        assert ANY.accept("alice@anywhere.example")

    @pytest.mark.parametrize("aor", ["alice", "@example.com", "a b@example.com", "a@b@c.example", "a@exämple.com"])
    def test_what_is_no_address_of_record_is_never_accepted(self, aor: str) -> None:
        assert not ANY.accept(aor)

    def test_restrictions_that_are_not_enabled_leave_the_domain_of_the_overlay(self) -> None:
        domains = Domains(OVERLAY, DomainRestrictions(False, (".*",)))
        assert domains.accept(f"alice@{OVERLAY}")
        assert domains.accept(f"alice@{OVERLAY.upper()}")
        assert not domains.accept("alice@example.org")
        assert not domains.accept(f"alice@a.{OVERLAY}")

    def test_the_patterns_of_the_rfc_accept_what_it_says(self) -> None:
        domains = Domains(OVERLAY, DomainRestrictions(True, (r"dht\.example\.com", r".*\.my\.example")))
        for domain in ("dht.example.com", "a.my.example", "a.b.my.example", "A.My.Example"):
            assert domains.accept(f"user@{domain}")
        for domain in (OVERLAY, "example.com", "dhtxexample.com", "dht.example.com.evil.example", "my.example"):
            assert not domains.accept(f"user@{domain}")
        assert not domains.accept("dht.example.com@evil.example")

    def test_enabled_without_a_pattern_nobody_is_accepted(self) -> None:
        assert not Domains(OVERLAY, DomainRestrictions(True, ())).accept(f"alice@{OVERLAY}")

    def test_a_pattern_that_cannot_be_read_matches_nothing_and_is_told(self) -> None:
        domains = Domains(OVERLAY, DomainRestrictions(True, ("*", "good")))
        assert domains.accept("a@good")
        assert not domains.accept("a@bad")
        assert len(domains.errors) == 1

    def test_a_domain_made_to_take_long_does_not(self) -> None:
        domains = Domains(OVERLAY, DomainRestrictions(True, (r"(([a-z]+)+\.)*com",)))
        assert not domains.accept("x@" + "a" * 250)


class TestGruu:
    def test_a_destination_list_goes_through_the_text_and_back(self) -> None:
        lists: list[tuple[Destination, ...]] = [
            (NodeDestination(NODE),),
            (NodeDestination(NODE), NodeDestination(bytes(15) + b"\1")),
            (NodeDestination(NODE), OpaqueDestination(b"\x80\1", is_compact=True)),
        ]
        for destination_list in lists:
            text = write_gruu(Gruu("alice@example.com", destination_list))
            assert "=" not in text.partition(";gr=")[2]
            assert read_gruu(text) == read_gruu("sip:" + text) == Gruu("alice@example.com", destination_list)

    def test_the_text_is_base64_of_the_destination_list_with_tildes(self) -> None:
        text = write_gruu(Gruu("alice@example.com", (NodeDestination(NODE),)))
        # 18 octets: base64 by RFC 4648 without padding. With 20 there is padding.
        assert text == "alice@example.com;gr=ARAAAQIDBAUGBwgJCgsMDQ4P"
        longer = write_gruu(Gruu("alice@example.com", (NodeDestination(bytes(20)),)), node_id_length=20)
        assert longer == "alice@example.com;gr=ARQ" + "A" * 27 + "~~"
        assert read_gruu(longer, node_id_length=20) == Gruu("alice@example.com", (NodeDestination(bytes(20)),))

    def test_the_example_of_the_rfc_has_the_form_but_no_destination_list_in_it(self) -> None:
        text = "alice@example.com;gr=MDEyMzQ1Njc4OTAxMjM0NTY3ODk~"
        encoded = text.partition(";gr=")[2]
        assert base64.b64decode(encoded.replace("~", "=")) == b"01234567890123456789"
        with pytest.raises(DecodeError, match="Destination"):
            read_gruu(text)

    @pytest.mark.parametrize("uri", ["alice@example.com", "alice@example.com;gr", "alice@example.com;gr=;x=1"])
    def test_a_uri_without_a_destination_list_is_no_gruu_of_reload(self, uri: str) -> None:
        assert read_gruu(uri) is None

    def test_escapes_in_a_gruu_are_decoded(self) -> None:
        octets = encode_destinations((NodeDestination(bytes(20)),), 20)
        text = base64.b64encode(octets).decode().replace("=", "%7E")
        assert read_gruu(f"sip:alice@example.com;gr={text}", node_id_length=20) is not None

    @pytest.mark.parametrize("gr", ["*", "AAAA=", "ARA", "ARAA~~~~", "~", "AAA A"])
    def test_a_gruu_with_anything_else_in_it_is_refused(self, gr: str) -> None:
        with pytest.raises(DecodeError):
            read_gruu(f"alice@example.com;gr={gr}")

    def test_a_user_with_strange_characters_is_escaped(self) -> None:
        gruu = Gruu('al%ice"<x>@example.com', (NodeDestination(NODE),))
        text = write_gruu(gruu)
        assert text.startswith("al%25ice%22%3Cx%3E@example.com;")
        assert read_gruu(text) == gruu

    @pytest.mark.parametrize("gruu", [Gruu("alice@example.com", ()), Gruu("alice", (NodeDestination(NODE),))])
    def test_a_gruu_needs_a_name_and_a_destination(self, gruu: Gruu) -> None:
        with pytest.raises(EncodeError):
            write_gruu(gruu)

    def test_an_anonymous_gruu_does_not_name_a_node_id_of_the_user(self) -> None:
        other = bytes(15) + b"\1"
        gruu = anonymous_gruu(OVERLAY, (NodeDestination(other),), {NODE})
        assert read_gruu(write_gruu(gruu)) == Gruu(f"anonymous@{OVERLAY}", (NodeDestination(other),))
        with pytest.raises(EncodeError):
            anonymous_gruu(OVERLAY, (NodeDestination(other), NodeDestination(NODE)), {NODE})


class TestFindWay:
    DOMAINS = Domains(OVERLAY, DomainRestrictions(False, ()))

    def test_a_gruu_of_the_overlay_is_contacted_directly(self) -> None:
        gruu = Gruu(f"alice@{OVERLAY}", (NodeDestination(NODE),))
        assert find_way("sip:" + write_gruu(gruu), self.DOMAINS) == gruu

    def test_an_address_of_record_of_the_overlay_is_resolved_in_it(self) -> None:
        assert find_way(f"sip:alice@{OVERLAY};transport=tcp", self.DOMAINS) == Hosted(f"alice@{OVERLAY}")

    def test_other_domains_are_left_to_other_means(self) -> None:
        assert find_way("sip:alice@example.com;x=1", self.DOMAINS) == External("sip:alice@example.com;x=1")
        gruu = write_gruu(Gruu("alice@example.com", (NodeDestination(NODE),)))
        assert find_way(gruu, self.DOMAINS) == External(gruu)

    def test_what_is_no_sip_uri_is_refused(self) -> None:
        with pytest.raises(DecodeError):
            find_way("tel:+1-212-555-1212", self.DOMAINS)
