"""The TURN usage: who is a candidate, where servers announce themselves, how they are found (RFC 6940 section 9)."""

import hashlib
import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_dht import Dht, failed, identity

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort
from reload.contents import ErrorCode
from reload.extensions import TurnServer
from reload.kinds import TURN_SERVICE
from reload.operations import Fetch, Find, Store, StoredValue
from reload.reading import NO_SIGNATURE
from reload.storage_messages import DataValue, StoredSingle
from reload.usages.publication import Publication
from reload.usages.turn import MAX_TRIES, FoundServer, TurnAnnouncement, find_servers, public_address, turn_resource_id

NODE, OTHER = (bytes([number]) * 16 for number in (1, 2))


def at(text: str, port: int = 3478) -> IpAddressPort:
    ip = ipaddress.ip_address(text)
    if ip.version == 4:
        return IpAddressPort(1, IPv4AddrPort(ip.packed, port))
    return IpAddressPort(2, IPv6AddrPort(ip.packed, port))


PUBLIC = at("192.0.2.7")


class TestCandidates:
    def test_a_node_whose_address_is_its_own_is_a_candidate(self) -> None:
        assert public_address([PUBLIC], [at("192.0.2.7", 40000)]) == PUBLIC
        assert public_address([PUBLIC], []) == PUBLIC
        assert public_address([at("10.0.0.1"), at("2001:db8::1")], [at("2001:db8::1")]) == at("2001:db8::1")

    def test_a_node_behind_a_nat_is_none(self) -> None:
        assert public_address([PUBLIC], [at("192.0.2.7"), at("192.0.2.8")]) is None

    @pytest.mark.parametrize(
        "private",
        [
            *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.7.7", "::ffff:10.0.0.1"),
            *("100.64.0.1", "169.254.1.1", "127.0.0.1", "fd00::1", "fe80::1", "::1", "224.0.0.1", "0.0.0.0", "ff02::1"),
        ],
    )
    def test_a_private_address_makes_no_candidate(self, private: str) -> None:
        assert public_address([at(private)], [at(private)]) is None

    @pytest.mark.parametrize("public", ["172.15.0.1", "172.32.0.1", "11.0.0.1", "192.169.0.1", "2001:db8::1"])
    def test_addresses_beside_the_private_ones_do(self, public: str) -> None:
        assert public_address([at(public)], []) == at(public)

    def test_an_address_of_an_unknown_type_or_without_a_port_is_no_address_to_serve_at(self) -> None:
        assert public_address([IpAddressPort(9, b"\1\2\3"), at("192.0.2.7", 0)], []) is None

    def test_nobody_is_a_candidate_without_an_address(self) -> None:
        assert public_address([], []) is None


class TestAnnouncement:
    def test_it_is_stored_turn_density_times_at_hashes_of_node_id_and_d(self) -> None:
        dht = Dht()
        assert dht.run(TurnAnnouncement(NODE, PUBLIC, 3).store(), identity(NODE))
        stores = [each for each in dht.operations if isinstance(each, Store)]
        assert [each.resource_id for each in stores] == [
            hashlib.sha1(NODE + octet).digest()[:16] for octet in (b"\1", b"\2", b"\3")
        ]
        for store, iteration in zip(stores, (1, 2, 3), strict=True):
            (new,) = store.values
            assert (new.kind, new.lifetime) == (2, 3600)
            assert isinstance(new.value, DataValue)
            assert decode(TurnServer, new.value.value) == TurnServer(iteration, PUBLIC)

    @pytest.mark.parametrize(("turn_density", "stores"), [(0, 0), (1, 1), (20, 20), (21, 20), (255, 20)])
    def test_it_is_stored_20_times_at_most_and_with_density_0_nowhere(self, turn_density: int, stores: int) -> None:
        dht = Dht()
        assert dht.run(TurnAnnouncement(NODE, PUBLIC, turn_density).store(), identity(NODE))
        assert dht.count(Store) == stores

    def test_a_store_that_fails_does_not_keep_the_others_from_being_tried(self) -> None:
        dht = Dht()
        first = turn_resource_id(NODE, 1)
        dht.refuse = lambda operation: failed() if getattr(operation, "resource_id", b"") == first else None
        assert not dht.run(TurnAnnouncement(NODE, PUBLIC, 3).store(), identity(NODE))
        assert len(dht.values(turn_resource_id(NODE, 3), TURN_SERVICE.id)) == 1

    def test_it_is_refreshed_and_in_the_end_removed(self) -> None:
        dht = Dht()
        publication = Publication(TurnAnnouncement(NODE, PUBLIC, 2, lifetime=100))
        publication.start(0.0)
        for dht.now in (0.0, 90.0, 180.0):
            plan = publication.handle_timer(dht.now)
            assert plan is not None
            assert dht.run(plan, identity(NODE))
        dht.now = 250.0
        assert found(dht) == (FoundServer(NODE, PUBLIC),)
        assert dht.run(publication.stop(), identity(NODE))
        assert found(dht) == ()


def found(dht: Dht, wanted: int = 1, by: bytes = OTHER, seed: int = 0) -> tuple[FoundServer, ...]:
    return dht.run(find_servers(by, random.Random(seed).randbytes, wanted=wanted), identity(by))


class TestFinding:
    def put(self, dht: Dht, octets: bytes, signer: bytes | None, resource_id: bytes, *, exists: bool = True) -> None:
        data = StoredSingle(1, 1, DataValue(exists, octets), NO_SIGNATURE)
        value = StoredValue(data, None if signer is None else identity(signer))
        dht.put(resource_id, value, TURN_SERVICE.id, 0)

    def test_a_random_peer_is_asked_what_it_has_and_that_is_fetched(self) -> None:
        dht = Dht()
        dht.run(TurnAnnouncement(NODE, PUBLIC, 1).store(), identity(NODE))
        dht.operations.clear()
        chance = random.Random(7)
        expected = random.Random(7).randbytes(16)
        assert dht.run(find_servers(OTHER, chance.randbytes), identity(OTHER)) == (FoundServer(NODE, PUBLIC),)
        assert dht.operations[0] == Find(expected, (TURN_SERVICE.id,))
        assert [type(each) for each in dht.operations] == [Find, Fetch]

    def test_another_peer_is_asked_when_one_knows_of_none(self) -> None:
        dht = Dht()
        dht.run(TurnAnnouncement(NODE, PUBLIC, 1).store(), identity(NODE))
        dht.operations.clear()
        dht.refuse = lambda operation: failed(ErrorCode.NOT_FOUND) if dht.count(Find) < 4 else None
        assert found(dht) == (FoundServer(NODE, PUBLIC),)
        assert dht.count(Find) == 4
        assert len({each.resource_id for each in dht.operations if isinstance(each, Find)}) == 4

    def test_the_search_ends_when_nobody_has_any(self) -> None:
        dht = Dht()
        assert found(dht) == ()
        assert (dht.count(Find), dht.count(Fetch)) == (MAX_TRIES, 0)

    def test_several_servers_are_different_ones_and_chance_chooses_among_them(self) -> None:
        dht = Dht()
        for number in range(1, 30):
            node_id = hashlib.sha1(bytes([number])).digest()[:16]
            dht.run(TurnAnnouncement(node_id, at(f"192.0.2.{number}"), 2).store(), identity(node_id))
        assert len({server.node_id for server in found(dht, 3)}) == 3
        assert len({found(dht, seed=seed) for seed in range(20)}) > 5

    def test_a_node_does_not_find_itself(self) -> None:
        dht = Dht()
        dht.run(TurnAnnouncement(NODE, PUBLIC, 3).store(), identity(NODE))
        assert found(dht, by=NODE) == ()

    def test_a_resource_that_was_fetched_is_not_fetched_again(self) -> None:
        dht = Dht()
        self.put(dht, b"", NODE, turn_resource_id(NODE, 1))
        assert found(dht) == ()
        assert (dht.count(Find), dht.count(Fetch)) == (MAX_TRIES, 1)

    @pytest.mark.parametrize(
        ("octets", "signer", "iteration"),
        [
            (encode(TurnServer(1, PUBLIC)), OTHER[:15] + b"\3", 1),  # somebody else's resource
            (encode(TurnServer(2, PUBLIC)), NODE, 1),  # another iteration
            (encode(TurnServer(1, PUBLIC)), None, 1),  # synthetic
            (encode(TurnServer(1, IpAddressPort(9, b"\1"))), NODE, 1),
            (encode(TurnServer(1, at("192.0.2.7", 0))), NODE, 1),
            (encode(TurnServer(1, at("255.255.255.255"))), NODE, 1),
            (encode(TurnServer(1, at("224.0.0.1"))), NODE, 1),
            (encode(TurnServer(1, at("::ffff:0.0.0.0"))), NODE, 1),
            (b"", NODE, 1),
            (encode(TurnServer(1, PUBLIC)) + b"\0", NODE, 1),
        ],
    )
    def test_what_cannot_be_a_server_of_its_signer_is_left_out(
        self, octets: bytes, signer: bytes | None, iteration: int
    ) -> None:
        dht = Dht()
        self.put(dht, octets, signer, turn_resource_id(NODE, iteration))
        assert found(dht) == ()

    @given(st.binary(max_size=40))
    def test_any_octets_are_looked_at_without_an_error(self, octets: bytes) -> None:
        dht = Dht()
        self.put(dht, octets, NODE, turn_resource_id(NODE, 1))
        found(dht)

    def test_a_peer_that_names_no_resource_id_is_passed_over(self) -> None:
        dht = Dht()
        self.put(dht, encode(TurnServer(1, PUBLIC)), NODE, b"short")
        assert found(dht) == ()
        assert dht.count(Fetch) == 0
