"""The SIP usage: registering, resolving, calling (RFC 7904), over a DHT without a network."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_configurations import configuration
from reload_dht import Dht, entry, failed, identity

from reload._presentation import decode, encode
from reload.configuration_extensions import SIP, DomainRestrictions
from reload.contents import ErrorCode
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)
from reload.errors import DecodeError, EncodeError
from reload.extensions import SipRegistration, SipRegistrationRoute, SipRegistrationUri
from reload.kinds import SIP_REGISTRATION, Extension
from reload.naming import resource_id
from reload.operations import Fetch, Store, Wanted
from reload.policies import user_node_match
from reload.storage_messages import DataValue, DictionaryEntry, DictionarySpecifier
from reload.usages.sip import (
    MAX_FETCHES,
    MAX_ROUTES,
    Call,
    Registration,
    RegistrationCheck,
    Resolution,
    Route,
    Scheme,
    calls,
    forward_to,
    is_responder,
    preferred_scheme,
    resolve,
    route_to,
    write_schemes,
)
from reload.usages.sip_names import Domains, Gruu, write_gruu

OVERLAY = "dht.example.com"
DOMAINS = Domains(OVERLAY, DomainRestrictions(False, ()))
ALICE, BOB, SAM = (f"{name}@{OVERLAY}" for name in ("alice", "bob", "sam"))
DESK, CELL, OTHER = (bytes([number]) * 16 for number in (0x12, 0x56, 0x78))


def to(*node_ids: bytes) -> tuple[Destination, ...]:
    return tuple(map(NodeDestination, node_ids))


def register(dht: Dht, aor: str, node_id: bytes, target: SipRegistration) -> Registration:
    registration = Registration(aor, node_id, target, DOMAINS)
    assert dht.run(registration.store(), identity(node_id, aor))
    return registration


def look_up(dht: Dht, uri: str) -> Resolution:
    return dht.run(resolve(uri, DOMAINS), identity(OTHER))


class TestRegistration:
    def test_it_is_stored_under_the_hash_of_the_address_of_record_and_the_node_id(self) -> None:
        dht = Dht()
        register(dht, f"sip:al%69ce@{OVERLAY}", DESK, route_to(to(DESK), b"(sip.schemes=SIPS)"))
        (store,) = dht.operations
        assert isinstance(store, Store)
        assert store.resource_id == resource_id(ALICE.encode())
        (new,) = store.values
        assert (new.kind, new.lifetime, new.generation) == (1, 3600, 0)
        assert isinstance(new.value, DictionaryEntry)
        assert new.value.key == DESK
        assert decode(SipRegistration, new.value.value.value) == SipRegistration(
            2, SipRegistrationRoute(b"(sip.schemes=SIPS)", to(DESK))
        )

    def test_several_devices_and_one_that_forwards_to_another_are_found_together(self) -> None:
        dht = Dht()
        register(dht, ALICE, DESK, route_to(to(CELL)))
        register(dht, ALICE, CELL, route_to(to(OTHER, CELL), b"x"))
        found = look_up(dht, f"sip:{ALICE}")
        assert found == Resolution((Route(to(CELL), b"", ALICE), Route(to(OTHER, CELL), b"x", ALICE)))

    def test_a_removed_device_is_not_found_and_the_others_are(self) -> None:
        dht = Dht()
        desk = register(dht, ALICE, DESK, route_to(to(DESK)))
        register(dht, ALICE, CELL, route_to(to(CELL)))
        assert dht.run(desk.remove(), identity(DESK, ALICE))
        assert [route.destination_list for route in look_up(dht, ALICE).routes] == [to(CELL)]

    def test_a_store_that_is_refused_is_no_registration(self) -> None:
        dht = Dht()
        dht.refuse = lambda operation: failed(ErrorCode.FORBIDDEN)
        registration = Registration(ALICE, DESK, route_to(to(DESK)), DOMAINS)
        assert not dht.run(registration.store(), identity(DESK, ALICE))
        assert not dht.run(registration.remove(), identity(DESK, ALICE))

    def test_an_address_of_record_that_the_overlay_does_not_accept_is_never_sent(self) -> None:
        with pytest.raises(EncodeError):
            Registration("alice@example.org", DESK, route_to(to(DESK)), DOMAINS)
        with pytest.raises(DecodeError):
            Registration("alice", DESK, route_to(to(DESK)), DOMAINS)

    @pytest.mark.parametrize(
        "destination_list",
        [
            (),
            (ResourceDestination(bytes(16)),),
            (NodeDestination(b"\xff" * 16),),
            (NodeDestination(DESK), OpaqueDestination(b"\1")),
            (UnknownDestination(9, b""),),
        ],
    )
    def test_a_route_ends_in_a_node_by_name(self, destination_list: tuple[Destination, ...]) -> None:
        with pytest.raises(EncodeError):
            route_to(destination_list)

    def test_contact_preferences_are_ascii(self) -> None:
        with pytest.raises(EncodeError):
            route_to(to(DESK), "é".encode())

    def test_what_a_registration_forwards_to_is_an_address_of_record_or_a_gruu(self) -> None:
        assert forward_to(f"sips:b%6Fb@{OVERLAY};x=y") == SipRegistration(1, SipRegistrationUri(BOB.encode()))
        gruu = write_gruu(Gruu(BOB, to(DESK)))
        assert forward_to("sip:" + gruu) == SipRegistration(1, SipRegistrationUri(gruu.encode()))
        with pytest.raises(DecodeError):
            forward_to("bob")


class TestStoringPeer:
    """What section 3.3 has the storing peer check; the Forbidden that follows is a test of the storage."""

    def allows(self, aor: str | None, key: bytes, *, at: str = ALICE, restrictions: object = None) -> bool:
        kind = SIP_REGISTRATION
        if isinstance(restrictions, Extension):
            kind = attrs.evolve(kind, extensions=(restrictions,))
        value = DictionaryEntry(key, DataValue(True, encode(route_to(to(DESK)))))
        signer = identity(DESK, aor)
        check = RegistrationCheck(configuration(instance_name=OVERLAY))
        where = resource_id(at.encode())
        return user_node_match(kind, where, value, signer) and check(kind, where, value, signer)

    def test_it_accepts_the_signer_s_own_address_of_record_and_node_id_only(self) -> None:
        assert self.allows(ALICE, DESK)
        assert not self.allows(BOB, DESK)
        assert not self.allows(ALICE, CELL)
        assert not self.allows(None, DESK)
        assert not self.allows(ALICE, DESK, at=BOB)

    def test_it_accepts_only_the_domains_of_the_configuration(self) -> None:
        pattern = Extension(SIP, "pattern", {}, r".*\.my\.example")
        restricted = Extension(SIP, "domain-restrictions", {"enable": "true"}, "", (pattern,))
        assert self.allows("alice@a.my.example", DESK, at="alice@a.my.example", restrictions=restricted)
        assert not self.allows(ALICE, DESK, restrictions=restricted)
        closed = Extension(SIP, "domain-restrictions")
        assert self.allows(ALICE, DESK, restrictions=closed)
        assert not self.allows("alice@a.my.example", DESK, at="alice@a.my.example", restrictions=closed)

    def test_restrictions_that_cannot_be_read_accept_nobody(self) -> None:
        broken = Extension(SIP, "domain-restrictions", {"enable": "maybe"})
        assert not self.allows(ALICE, DESK, restrictions=broken)

    def test_it_reads_the_restrictions_anew_when_the_kind_changes(self) -> None:
        check = RegistrationCheck(configuration(instance_name=OVERLAY))
        value, where = DictionaryEntry(DESK, DataValue(False)), bytes(16)
        outside = identity(DESK, "alice@example.org")
        assert check(SIP_REGISTRATION, where, value, outside)
        closed = attrs.evolve(SIP_REGISTRATION, extensions=(Extension(SIP, "domain-restrictions"),))
        assert not check(closed, where, value, outside)


class TestResolution:
    def test_all_keys_are_fetched_at_the_hash_of_the_address_of_record(self) -> None:
        dht = Dht()
        look_up(dht, f"sip:{ALICE};transport=tls")
        wanted = Wanted(SIP_REGISTRATION.id, DictionarySpecifier(()))
        assert dht.operations == [Fetch(resource_id(ALICE.encode()), (wanted,))]

    def test_a_gruu_needs_no_fetch(self) -> None:
        dht = Dht()
        found = look_up(dht, "sip:" + write_gruu(Gruu(ALICE, to(OTHER, DESK))))
        assert found == Resolution((Route(to(OTHER, DESK), b"", ALICE),))
        assert dht.operations == []

    def test_a_uri_of_another_domain_is_external_and_needs_no_fetch(self) -> None:
        dht = Dht()
        assert look_up(dht, "sip:x@example.org") == Resolution((), ("sip:x@example.org",))
        assert dht.operations == []

    def test_what_is_no_uri_raises_before_the_plan_runs(self) -> None:
        with pytest.raises(DecodeError):
            resolve("nobody", DOMAINS)

    def test_addresses_of_record_are_followed_and_duplicates_removed(self) -> None:
        dht = Dht()
        register(dht, ALICE, DESK, forward_to(BOB))
        register(dht, ALICE, CELL, route_to(to(CELL)))
        register(dht, BOB, OTHER, forward_to(SAM))
        register(dht, SAM, CELL, route_to(to(CELL)))
        register(dht, SAM, DESK, forward_to(write_gruu(Gruu(SAM, to(CELL)))))
        register(dht, SAM, OTHER, forward_to("sip:sam@example.org"))
        found = look_up(dht, ALICE)
        assert found == Resolution((Route(to(CELL), b"", ALICE),), ("sam@example.org",))
        assert dht.count(Fetch) == 3

    def test_forwarding_in_a_circle_ends(self) -> None:
        dht = Dht()
        register(dht, ALICE, DESK, forward_to(BOB))
        register(dht, BOB, OTHER, forward_to(ALICE))
        register(dht, BOB, CELL, forward_to(BOB))
        assert look_up(dht, ALICE) == Resolution(())
        assert dht.count(Fetch) == 2

    def test_a_chain_without_end_is_cut_short(self) -> None:
        dht = Dht()
        for number in range(MAX_FETCHES + 5):
            register(dht, f"u{number}@{OVERLAY}", DESK, forward_to(f"u{number + 1}@{OVERLAY}"))
        found = look_up(dht, f"u0@{OVERLAY}")
        assert found.is_cut_short
        assert dht.count(Fetch) == MAX_FETCHES

    def test_a_fork_bomb_is_cut_short(self) -> None:
        dht = Dht()
        node_ids = [number.to_bytes(16, "big") for number in range(1, 60)]
        for node_id in node_ids:
            register(dht, ALICE, node_id, route_to(to(node_id)))
            register(dht, BOB, node_id, forward_to(f"sip:{node_id.hex()}@example.org"))
        found = look_up(dht, ALICE)
        assert len(found.routes) == MAX_ROUTES
        assert found.is_cut_short
        others = look_up(dht, BOB)
        assert len(others.external) == MAX_ROUTES
        assert others.is_cut_short

    def test_a_fetch_that_fails_is_told_and_the_rest_is_found(self) -> None:
        dht = Dht()
        register(dht, ALICE, DESK, forward_to(BOB))
        register(dht, ALICE, CELL, route_to(to(CELL)))
        bob = resource_id(BOB.encode())
        dht.refuse = lambda operation: failed() if getattr(operation, "resource_id", b"") == bob else None
        found = look_up(dht, ALICE)
        assert found.failures == (failed(),)
        assert [route.destination_list for route in found.routes] == [to(CELL)]

    def test_an_address_of_record_that_is_not_found_is_no_failure(self) -> None:
        dht = Dht()
        dht.refuse = lambda operation: failed(ErrorCode.NOT_FOUND)
        assert look_up(dht, ALICE) == Resolution(())

    @pytest.mark.parametrize(
        ("key", "signer", "user"), [(DESK, CELL, ALICE), (DESK, DESK, BOB), (DESK, DESK, None)]
    )  # fmt: skip
    def test_what_its_signer_may_not_store_is_left_out(self, key: bytes, signer: bytes, user: str | None) -> None:
        dht = Dht()
        value = entry(key, encode(route_to(to(DESK))), identity(signer, user))
        dht.put(resource_id(ALICE.encode()), value, SIP_REGISTRATION.id, key)
        assert look_up(dht, ALICE) == Resolution(())

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            b"\2\0\1\0",
            b"\0\0\0",
            b"\x07\0\3abc",
            encode(SipRegistration(1, SipRegistrationUri(b"\xff@\xff"))),
            encode(SipRegistration(1, SipRegistrationUri(b"nobody"))),
            encode(SipRegistration(2, SipRegistrationRoute(b"", (ResourceDestination(bytes(16)),)))),
            encode(SipRegistration(2, SipRegistrationRoute(b"", (NodeDestination(b"\xff" * 16),)))),
        ],
    )
    def test_what_leads_nowhere_is_left_out(self, octets: bytes) -> None:
        dht = Dht()
        dht.put(resource_id(ALICE.encode()), entry(DESK, octets, identity(DESK, ALICE)), SIP_REGISTRATION.id, DESK)
        register(dht, ALICE, CELL, route_to(to(CELL)))
        assert [route.destination_list for route in look_up(dht, ALICE).routes] == [to(CELL)]

    @given(st.binary(max_size=60))
    def test_any_octets_are_resolved_without_an_error(self, octets: bytes) -> None:
        dht = Dht()
        dht.put(resource_id(ALICE.encode()), entry(DESK, octets, identity(DESK, ALICE)), SIP_REGISTRATION.id, DESK)
        look_up(dht, ALICE)


class TestCalls:
    def test_the_application_ids_are_those_of_sip_and_sips(self) -> None:
        assert (Scheme.SIP, Scheme.SIPS) == (5060, 5061)

    @pytest.mark.parametrize(
        ("prefs", "scheme"),
        [
            (b"", None),
            (b"(sip.schemes=SIP)", Scheme.SIP),
            (b"(sip.schemes=SIPS)", Scheme.SIPS),
            (b'(& (audio=TRUE) (sip.schemes="sips") (video=FALSE))', Scheme.SIPS),
            (b"( sip.schemes = <sip> )", Scheme.SIP),
            (b'(  sip.schemes  =  " < sips  > "  )', None),
            (b'(  sip.schemes  =  "<  sips  >"  )', Scheme.SIPS),
            (b"(  !  (  sip.schemes=SIP))", None),
            (b"(| (sip.schemes=SIP) (sip.schemes=SIPS))", None),
            (b"(! (sip.schemes=SIP))", None),
            (b"(sip.schemes=TEL)", None),
            (b"\xff\xfe", None),
        ],
    )
    def test_contact_preferences_name_a_scheme(self, prefs: bytes, scheme: Scheme | None) -> None:
        assert preferred_scheme(prefs) is scheme

    @pytest.mark.parametrize("start", [b"(sip.schemes=", b"(sip.schemes=SIP", b"(!", b"("])
    def test_contact_preferences_made_to_take_long_do_not(self, start: bytes) -> None:
        # In time quadratic in the blanks, this would take some minutes.
        assert preferred_scheme(start + b" " * 0xFFFF0) is None

    def test_who_accepts_one_scheme_only_says_so(self) -> None:
        assert write_schemes({Scheme.SIPS}) == b"(sip.schemes=SIPS)"
        assert write_schemes({Scheme.SIP}) == b"(sip.schemes=SIP)"
        assert write_schemes({Scheme.SIP, Scheme.SIPS}) == b""
        assert all(preferred_scheme(write_schemes({scheme})) is scheme for scheme in Scheme)

    def test_a_call_follows_what_the_callee_prefers_but_sips_never_becomes_sip(self) -> None:
        routes = tuple(Route(to(DESK), prefs, ALICE) for prefs in (b"", b"(sip.schemes=SIPS)", b"(sip.schemes=SIP)"))
        assert [call.application for call in calls(Resolution(routes), Scheme.SIP)] == [5060, 5061, 5060]
        assert [call.application for call in calls(Resolution(routes), Scheme.SIPS)] == [5061, 5061, 5061]
        assert calls(Resolution(routes[:1]), Scheme.SIP) == (Call(to(DESK), Scheme.SIP),)

    def test_a_connection_is_the_callee_s_if_its_certificate_has_the_last_node_id_of_the_list(self) -> None:
        assert is_responder(to(OTHER, DESK), identity(DESK))
        assert is_responder(to(DESK), attrs.evolve(identity(CELL), node_ids=(CELL, DESK)))
        assert not is_responder(to(DESK, OTHER), identity(DESK))

    @pytest.mark.parametrize(
        "destination_list",
        [(), (NodeDestination(DESK), OpaqueDestination(b"\1")), (NodeDestination(b"\xff" * 16),)],
    )
    def test_a_connection_by_a_list_without_a_node_at_its_end_is_nobody_s(
        self, destination_list: tuple[Destination, ...]
    ) -> None:
        assert not is_responder(destination_list, identity(DESK))
