"""How much one peer holds, for whom, and what it keeps with it (RFC 6940 sections 7.4.1.1 and 13.5.2)."""

import attrs
import pytest
from reload_storing import (
    ALICE,
    ALICE_TOO,
    ARRAY,
    BOB,
    DICTIONARY,
    GONE,
    HOME,
    KINDS,
    OWN_KEY,
    SINGLE,
    Peer,
    entry,
    error,
    generations,
    item,
    of,
    signed,
    there,
)

from reload.contents import ErrorCode
from reload.kinds import TURN_SERVICE
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.quotas import FAIR_SHARE, Quotas
from reload.storage import StoreOutcome
from reload.storage_messages import ArrayEntry, DictionaryEntry


@pytest.fixture
def peer() -> Peer:
    return Peer()


def _append(peer: Peer, number: int) -> StoreOutcome:
    return peer.store(of(ARRAY, signed(ARRAY, entry(0xFFFFFFFF, bytes([number])), time=1 + number)))


def test_a_value_has_at_most_the_size_that_its_kind_allows(peer: Peer) -> None:
    generations(peer.store(of(SINGLE, signed(SINGLE, there(bytes(100)), time=1))))
    assert error(peer.store(of(SINGLE, signed(SINGLE, there(bytes(101)), time=2)))) == ErrorCode.DATA_TOO_LARGE
    assert peer.values(SINGLE) == [bytes(100)]


def test_the_size_is_that_of_the_value_without_its_key(peer: Peer) -> None:
    generations(peer.store(of(DICTIONARY, signed(DICTIONARY, item(bytes(900), bytes(100)), time=1))))


def test_a_kind_has_at_most_as_many_values_at_a_resource_as_it_allows(peer: Peer) -> None:
    for number in range(4):
        generations(_append(peer, number))
    assert error(_append(peer, 4)) == ErrorCode.DATA_TOO_LARGE
    generations(peer.store(of(ARRAY, signed(ARRAY, entry(2, b"instead"), time=9))))
    assert peer.values(ARRAY) == [b"\0", b"\1", b"instead", b"\3"]


def test_a_replica_is_held_to_the_same_size_and_number(peer: Peer) -> None:
    large = of(SINGLE, signed(SINGLE, there(bytes(101)), time=1), generation=1)
    many = of(ARRAY, *(signed(ARRAY, entry(i, b""), time=1) for i in range(5)), generation=1)
    assert [error(peer.replicate(data)) for data in (large, many)] == [ErrorCode.DATA_TOO_LARGE] * 2


def test_what_was_removed_counts_until_it_expires(peer: Peer) -> None:
    for number in range(4):
        _append(peer, number)
    generations(peer.store(of(ARRAY, signed(ARRAY, ArrayEntry(0, GONE), time=9, lifetime=200))))
    assert error(_append(peer, 5)) == ErrorCode.DATA_TOO_LARGE
    outcome = peer.store(of(ARRAY, signed(ARRAY, entry(7, b"new"), time=1)), now=100.0)
    generations(outcome)


def test_values_over_a_limit_that_was_lowered_can_still_be_replaced(peer: Peer) -> None:
    for number in range(4):
        _append(peer, number)
    peer.storage.use(KINDS.updated([attrs.evolve(ARRAY, max_count=2)]))
    generations(peer.store(of(ARRAY, signed(ARRAY, ArrayEntry(3, GONE), time=9))))
    assert error(peer.store(of(ARRAY, signed(ARRAY, entry(4, b""), time=9)))) == ErrorCode.DATA_TOO_LARGE


def _signers(count: int) -> list[NullSigner]:
    return [NullSigner(number.to_bytes(16, "big"), certificate_size=500) for number in range(1, count + 1)]


def _turn(peer: Peer, by: NullSigner, i: int = 1, now: float = 0.0, replica: bool = False) -> StoreOutcome:
    at = resource_id(by.node_id + bytes([i]))
    value = signed(TURN_SERVICE, there(bytes(64)), time=1 + int(now), by=by, at=at)
    if replica:
        return peer.replicate(of(TURN_SERVICE, value, generation=1), at=at, with_signers=(by,), now=now)
    return peer.store(of(TURN_SERVICE, value), at=at, by=by, with_signers=(), now=now)


def test_a_node_holds_so_many_resources_and_no_more() -> None:
    peer = Peer(quotas=Quotas(max_resources=3))
    signers = _signers(4)
    for by in signers[:3]:
        generations(_turn(peer, by))
    assert error(_turn(peer, signers[3])) == ErrorCode.DATA_TOO_LARGE
    generations(_turn(peer, signers[0], now=50.0))
    generations(_turn(peer, signers[3], now=120.0))


def test_a_node_holds_so_many_octets_and_no_more() -> None:
    peer = Peer(quotas=Quotas(max_octets=50_000))
    outcomes = [_turn(peer, by, replica=True) for by in _signers(100)]
    refused = [error(outcome) for outcome in outcomes if not hasattr(outcome, "answer")]
    assert set(refused) == {ErrorCode.DATA_TOO_LARGE}
    assert 40_000 < peer.storage.octets <= 50_000


def test_a_full_node_still_takes_what_is_no_larger_than_what_it_replaces() -> None:
    peer = Peer(quotas=Quotas(max_octets=3000))
    value = signed(SINGLE, there(bytes(100)), time=1)
    generations(peer.replicate(of(SINGLE, value, generation=1)))
    peer.storage._rules = attrs.evolve(peer.storage._rules, quotas=Quotas(max_octets=1000))
    assert error(peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1)))) == ErrorCode.DATA_TOO_LARGE
    generations(peer.store(of(SINGLE, signed(SINGLE, GONE, time=2))))


def test_one_signer_cannot_fill_a_node_but_others_find_room() -> None:
    """A signer that makes Resource-IDs up: each has a value of its own certificate."""
    peer = Peer(
        quotas=Quotas(max_octets=200_000), kinds=KINDS.updated([attrs.evolve(TURN_SERVICE, max_node_multiple=255)])
    )
    greedy, *others = _signers(40)
    stored = [not hasattr(_turn(peer, greedy, i), "error_code") for i in range(1, 256)]
    assert stored == sorted(stored, reverse=True)
    assert 200_000 // (FAIR_SHARE + 2) < peer.storage.octets <= 200_000 // FAIR_SHARE
    for by in others:
        generations(_turn(peer, by))


def test_the_share_of_a_signer_comes_back_when_values_expire_or_are_replaced_by_smaller_ones() -> None:
    peer = Peer(quotas=Quotas(max_octets=30_000), kinds=KINDS.updated([attrs.evolve(SINGLE, max_size=2000)]))
    generations(peer.store(of(SINGLE, signed(SINGLE, there(bytes(1000)), time=1))))
    more = of(ARRAY, signed(ARRAY, entry(0, bytes(100)), time=1))
    assert error(peer.store(more)) == ErrorCode.DATA_TOO_LARGE
    generations(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=2))))
    generations(peer.store(more))


def test_replicas_have_more_room_than_originals() -> None:
    peer = Peer(quotas=Quotas(max_octets=20_000))
    (by,) = _signers(1)
    outcomes = [_turn(peer, by, i) for i in range(1, 5)]
    assert error(outcomes[-1]) == ErrorCode.DATA_TOO_LARGE
    generations(_turn(peer, by, 4, replica=True))


def test_the_quota_of_one_request_counts_all_its_values() -> None:
    peer = Peer(quotas=Quotas(max_octets=20_000))
    values = [signed(ARRAY, entry(i, bytes(100)), time=1) for i in range(4)]
    assert error(peer.store(of(ARRAY, *values))) == ErrorCode.DATA_TOO_LARGE
    generations(peer.store(of(ARRAY, *values[:1])))


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_certificate_is_kept_once_as_long_as_there_is_a_value_of_its_signer(peer: Peer) -> None:
    held = peer.storage._holdings.certificates
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=10)))
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1, lifetime=20)))
    peer.store(of(OWN_KEY, signed(OWN_KEY, DictionaryEntry(ALICE.node_id, there(b"")), time=1)))
    assert [each.certificates for each in held] == [ALICE.certificates]
    assert held.octets == len(ALICE.certificates[0].certificate)
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=2, lifetime=10, by=ALICE_TOO)), by=ALICE_TOO)
    assert len(held) == 2
    peer.storage.handle_timer(10.0)
    assert [each.certificates for each in held] == [ALICE.certificates]
    peer.storage.drop(HOME)
    assert (len(held), held.octets, peer.storage.octets) == (0, 0, 0)


def test_certificates_of_a_refused_store_or_of_nobodys_values_are_not_kept(peer: Peer) -> None:
    held = peer.storage._holdings.certificates
    error(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, by=BOB)), by=BOB))
    assert len(held) == 0
    generations(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)), with_signers=(BOB, *_signers(3))))
    assert len(held) == 1


def test_what_is_counted_is_what_is_there(peer: Peer) -> None:
    """After any of these the octets are the same as in a storage that never held more."""
    peer.store(of(ARRAY, *(signed(ARRAY, entry(i, bytes(10 * i)), time=1) for i in range(4))))
    peer.store(of(ARRAY, signed(ARRAY, entry(1, bytes(77)), time=2, by=ALICE_TOO)), by=ALICE_TOO)
    fresh = Peer()
    fresh.storage.restore(peer.state(), 0.0)
    assert fresh.storage.octets == peer.storage.octets
