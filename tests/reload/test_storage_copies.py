"""Copies for other peers and from them, and a storage that outlives its process (RFC 6940 sections 7.4.1.1 and 8)."""

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_identities import NOT_AFTER, NOT_BEFORE, OVERLAY, authority, enrolled, issue, key, node_id, random_bytes
from reload_storing import (
    ALICE,
    ALICE_TOO,
    ARRAY,
    BOB,
    DICTIONARY,
    EPOCH,
    GONE,
    HOME,
    OWN_KEY,
    SINGLE,
    UNSIGNED,
    Peer,
    entry,
    everything,
    generations,
    item,
    of,
    signed,
    there,
)

from reload._chain import Trust
from reload._presentation import encode
from reload.errors import DecodeError, StateError
from reload.exchange import Answer
from reload.kinds import BASE_KINDS, Kind
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.quotas import Quotas
from reload.security_block import X509, GenericCertificate
from reload.signing import KeySigner, OverlayVerifier
from reload.storage import CopiedValue, Copy
from reload.storage_messages import (
    DictionaryEntry,
    FetchAns,
    FetchKindResponse,
    FetchReq,
)


@pytest.fixture
def peer() -> Peer:
    return Peer()


# -- for others --------------------------------------------------------------------------------------------------------


def test_the_values_of_a_resource_have_their_generation_and_the_lifetime_that_is_left(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"s"), time=1, lifetime=100)))
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b"a"), time=2, lifetime=50)), now=10.0)
    copy = peer.storage.values_of(HOME, 20.7)
    assert copy is not None
    assert copy.kind_data == (
        of(SINGLE, signed(SINGLE, there(b"s"), time=1, lifetime=79), generation=1),
        of(ARRAY, signed(ARRAY, entry(0, b"a"), time=2, lifetime=39), generation=1),
    )
    assert copy.certificates == ALICE.certificates


def test_lifetimes_never_grow_however_often_a_value_is_handed_on() -> None:
    now, peers = 0.0, [Peer() for _ in range(20)]
    peers[0].store(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=100)))
    for giver, taker in pairwise(peers):
        now += 3.3
        copy = giver.storage.values_of(HOME, now)
        assert copy is not None
        generations(taker.replicate(*copy.kind_data, now=now))
    assert peers[0].read(SINGLE, now=now)[0].lifetime - 20 <= peers[-1].read(SINGLE, now=now)[0].lifetime <= 100 - now


def test_a_value_with_less_than_a_second_left_is_handed_to_nobody(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=10)))
    assert peer.storage.values_of(HOME, 9.5) is None
    assert peer.values(SINGLE, now=9.5) == [b""]


def test_a_resource_without_values_has_no_copy(peer: Peer) -> None:
    assert peer.storage.values_of(HOME, 0.0) is None
    peer.storage.drop(HOME)


def test_synthetic_values_are_not_replicated_and_removed_ones_are(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1, lifetime=9), signed(ARRAY, entry(2, b""), time=1)))
    peer.store(of(SINGLE, signed(SINGLE, GONE, time=1)))
    copy = peer.storage.values_of(HOME, 10.0)
    assert copy is not None
    assert [(value.kind, len(data.values)) for value, data in zip(copy.values, copy.kind_data, strict=True)] == [
        (ARRAY.id, 1),
        (SINGLE.id, 1),
    ]


def test_a_copy_makes_a_replica_that_answers_the_same(peer: Peer) -> None:
    peer.store(
        of(SINGLE, signed(SINGLE, there(b"s"), time=1)),
        of(ARRAY, *(signed(ARRAY, entry(i, b"a"), time=2) for i in range(3))),
        of(DICTIONARY, signed(DICTIONARY, item(b"k", b"d"), time=3)),
    )
    copy = peer.storage.values_of(HOME, 5.0)
    assert copy is not None
    other = Peer()
    generations(other.replicate(*copy.kind_data, now=5.0))
    request = FetchReq(HOME, (everything(SINGLE), everything(ARRAY), everything(DICTIONARY)))
    assert other.storage.fetch(request, 5.0) == peer.storage.fetch(request, 5.0)
    assert other.storage.stat(request, 5.0) == peer.storage.stat(request, 5.0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 50)), max_size=12), st.integers(0, 400))
def test_parts_of_a_copy_hold_all_values_once_and_fit(made: list[tuple[int, int, int]], room: int) -> None:
    certificates = [GenericCertificate(X509, bytes([number]) * 30) for number in range(3)]
    copy = Copy(HOME, tuple(CopiedValue(kind, 1, bytes(size), (certificates[by],)) for kind, by, size in made))
    parts = list(copy.split(room))
    assert [value for part in parts for value in part.values] == list(copy.values)
    for part in parts:
        size = sum(len(encode(data)) for data in part.kind_data) + sum(len(encode(each)) for each in part.certificates)
        assert part.values
        assert size <= room or len(part.values) == 1


# -- from others: what is newer replaces what is here ------------------------------------------------------------------


def _answer(peer: Peer, *kinds: Kind, now: float = 0.0) -> Answer:
    answer = peer.storage.fetch(FetchReq(HOME, tuple(everything(kind) for kind in kinds)), now)
    assert isinstance(answer, Answer)
    return answer


def _replace(peer: Peer, answer: Answer, now: float = 0.0) -> Copy | None:
    return peer.storage.replace(
        HOME, answer.body.kind_responses, certificates=answer.certificates, verifier=peer.verifier, now=now
    )


def test_the_newer_values_of_a_peer_replace_the_own_ones_and_the_older_do_not(peer: Peer) -> None:
    other = Peer()
    for storage, word, times in ((peer, b"mine", (5, 9)), (other, b"theirs", (7, 8))):
        storage.store(of(ARRAY, *(signed(ARRAY, entry(i, word), time=time) for i, time in enumerate(times))))
    copy = _replace(peer, _answer(other, ARRAY))
    assert peer.values(ARRAY) == [b"theirs", b"mine"]
    assert copy is not None
    assert [each.octets for each in copy.values] == [signed(ARRAY, entry(0, b"theirs"), time=7)]


def test_merging_either_way_gives_the_same_values(peer: Peer) -> None:
    other = Peer()
    peer.store(of(DICTIONARY, *(signed(DICTIONARY, item(k, b"1"), time=t) for k, t in ((b"a", 1), (b"b", 9)))))
    other.store(of(DICTIONARY, *(signed(DICTIONARY, item(k, b"2"), time=t) for k, t in ((b"b", 5), (b"c", 3)))))
    ours, theirs = _answer(peer, DICTIONARY), _answer(other, DICTIONARY)
    _replace(peer, theirs)
    _replace(other, ours)
    expected = {(b"a", b"1"), (b"b", b"1"), (b"c", b"2")}
    for each in (peer, other):
        values = [data.value for data in each.read(DICTIONARY)]
        assert {(value.key, value.value.value) for value in values if isinstance(value, DictionaryEntry)} == expected


def test_after_a_merge_the_counter_is_that_of_the_peer_if_the_values_are(peer: Peer) -> None:
    other = Peer()
    for time in (2, 3, 4):
        other.store(of(SINGLE, signed(SINGLE, there(b"theirs"), time=time)))
    peer.store(of(SINGLE, signed(SINGLE, there(b"mine"), time=1)))
    _replace(peer, _answer(other, SINGLE))
    assert (peer.values(SINGLE), peer.generation(SINGLE)) == ([b"theirs"], 3)
    assert _replace(peer, _answer(other, SINGLE)) is None
    assert peer.generation(SINGLE) == 3


def test_after_a_merge_the_counter_is_higher_than_that_of_the_peer_if_there_is_more_here(peer: Peer) -> None:
    other = Peer()
    other.store(of(ARRAY, signed(ARRAY, entry(0, b"theirs"), time=5)))
    peer.store(of(ARRAY, signed(ARRAY, entry(1, b"mine"), time=1)))
    _replace(peer, _answer(other, ARRAY))
    assert (peer.values(ARRAY), peer.generation(ARRAY)) == ([b"theirs", b"mine"], 2)


def test_a_removal_that_is_newer_replaces_too(peer: Peer) -> None:
    other = Peer()
    peer.store(of(SINGLE, signed(SINGLE, there(b"mine"), time=1)))
    other.store(of(SINGLE, signed(SINGLE, GONE, time=2)))
    _replace(peer, _answer(other, SINGLE))
    assert peer.values(SINGLE) == [None]
    assert peer.read(SINGLE)[0].signature != UNSIGNED


def test_of_a_peers_answer_only_what_may_be_stored_is_taken(peer: Peer) -> None:
    good = signed(ARRAY, entry(3, b"good"), time=9)
    forged = signed(ARRAY, entry(0, b"forged"), time=9)[:-1] + b"\0"
    foreign = signed(ARRAY, entry(1, b"foreign"), time=9, by=BOB)
    elsewhere = signed(ARRAY, entry(1, b"elsewhere"), time=9, at=b"\0" * 16)
    other_kind = signed(SINGLE, there(b"other Kind"), time=9)
    large = signed(ARRAY, entry(2, bytes(101)), time=9)
    synthetic = _answer(Peer(), SINGLE).body.kind_responses[0].values[0]
    responses = (
        FetchKindResponse(ARRAY.id, 4, (forged, foreign, elsewhere, large, b"", other_kind, good)),
        FetchKindResponse(SINGLE.id, 4, (synthetic, other_kind[:-1])),
        FetchKindResponse(DICTIONARY.id, 0, ()),
        FetchKindResponse(99, 4, (b"unknown",)),
    )
    copy = _replace(peer, _with(responses))
    assert peer.values(ARRAY) == [None, None, None, b"good"]
    assert peer.values(SINGLE) == [None]
    assert copy is not None
    assert [each.octets for each in copy.values] == [good]


def _with(responses: tuple[FetchKindResponse, ...]) -> Answer:
    return Answer(FetchAns(responses), certificates=ALICE.certificates + BOB.certificates)


def test_of_two_values_for_the_same_place_in_an_answer_the_newer_counts(peer: Peer) -> None:
    new, old = (signed(SINGLE, there(bytes([time])), time=time) for time in (9, 8))
    _replace(peer, _with((FetchKindResponse(SINGLE.id, 1, (new,)), FetchKindResponse(SINGLE.id, 1, (old,)))))
    assert peer.values(SINGLE) == [b"\x09"]
    first, second = (signed(ARRAY, entry(0, bytes([time])), time=time) for time in (9, 8))
    _replace(peer, _with((FetchKindResponse(ARRAY.id, 1, (first, second)),)))
    assert peer.values(ARRAY) == [b"\x09"]


def test_no_more_is_taken_from_a_peer_than_a_kind_allows(peer: Peer) -> None:
    values = tuple(signed(ARRAY, entry(i, b""), time=1) for i in range(6))
    _replace(peer, _with((FetchKindResponse(ARRAY.id, 1, values),)))
    assert peer.values(ARRAY) == [b""] * 4


@given(st.lists(st.builds(FetchKindResponse, st.sampled_from([SINGLE.id, ARRAY.id, 99]), st.integers(0, 3),
                          st.lists(st.binary(max_size=60), max_size=3).map(tuple)), max_size=3))  # fmt: skip
def test_any_answer_of_a_peer_raises_nothing(responses: list[FetchKindResponse]) -> None:
    peer = Peer()
    assert _replace(peer, _with(tuple(responses))) is None
    assert len(peer.storage) == 0


# -- real certificates -------------------------------------------------------------------------------------------------


def _real_peer(verifier: OverlayVerifier | None = None) -> Peer:
    trust = Trust(OVERLAY, root_certificates=(authority().certificate,))
    return Peer(verifier=verifier or OverlayVerifier(trust))


def _below_another_authority() -> KeySigner:
    middle = authority().subordinate(
        key("middle"), "middle", not_before=NOT_BEFORE, not_after=NOT_AFTER, random_bytes=random_bytes
    )
    return KeySigner(key("node"), [issue([node_id(5)], by=middle), middle.certificate], OVERLAY)


def test_the_certificates_up_to_a_root_come_with_a_value_and_no_others() -> None:
    """Others can verify it, also where the path was remembered and the Store left it out."""
    signer, stranger = _below_another_authority(), enrolled(9, name="stranger")
    peer = _real_peer()
    for time, shown in enumerate((signer.certificates, signer.certificates[:1]), 1):
        peer.storage.drop(HOME)
        value = of(SINGLE, signed(SINGLE, there(b""), time=time, by=signer))
        peer.where.senders = (stranger.node_id,)
        generations(
            peer.store(
                attrs.evolve(value, generation_counter=1), by=stranger, replica=1, with_signers=(), certificates=shown
            )
        )
        copy = peer.storage.values_of(HOME, 0.0)
        assert copy is not None
        assert copy.certificates == _answer(peer, SINGLE).certificates == signer.certificates
    assert peer.storage._holdings.certificates.octets == sum(len(each.certificate) for each in signer.certificates)
    other = _real_peer()
    other.where.senders = (stranger.node_id,)
    data = copy.kind_data
    generations(other.store(*data, by=stranger, replica=1, with_signers=(), certificates=copy.certificates))
    other.storage.drop(HOME)
    assert other.storage.octets == 0


def test_values_of_a_certificate_that_has_expired_are_dropped_when_asked() -> None:
    peer, signer = _real_peer(), enrolled(5)
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, by=signer, lifetime=10**6)), by=signer, with_signers=())
    peer.storage.drop_invalid(peer.verifier, 0.0)
    assert len(peer.storage) == 1
    peer.storage.drop_invalid(peer.verifier, NOT_AFTER - EPOCH + 1)
    assert len(peer.storage) == 0


def test_values_of_a_node_that_was_revoked_are_dropped_and_no_others() -> None:
    peer, bad, good = _real_peer(), enrolled(5), enrolled(6, name="good")
    for by, index in ((bad, 0), (good, 1)):
        peer.store(of(ARRAY, signed(ARRAY, entry(index, b""), time=1, by=by)), by=by, with_signers=())
    revoked = Trust(OVERLAY, root_certificates=(authority().certificate,), bad_nodes=frozenset({node_id(5)}))
    peer.storage.drop_invalid(OverlayVerifier(revoked), 0.0)
    assert [each.signature == UNSIGNED for each in peer.read(ARRAY)] == [True, False]


@pytest.mark.parametrize("ours", [1, 4, 7])
@pytest.mark.parametrize(("mine", "extra"), [(b"same", False), (b"same", True), (b"old", False), (b"newer", False)])
def test_a_merged_counter_stands_for_no_other_values_than_before(
    peer: Peer, ours: int, mine: bytes, extra: bool
) -> None:
    """Their counter is 4. Who has fetched from either of the two is told of what has changed for them."""
    other = Peer()
    times = {b"old": 1, b"same": 5, b"newer": 9}
    other.replicate(of(DICTIONARY, signed(DICTIONARY, item(b"k", b"same"), time=5), generation=4))
    values = [signed(DICTIONARY, item(b"k", mine), time=times[mine])]
    values += [signed(DICTIONARY, item(b"more", b""), time=1)] if extra else []
    peer.replicate(of(DICTIONARY, *values, generation=ours))
    known = {(ours, tuple(peer.values(DICTIONARY))), (4, tuple(other.values(DICTIONARY)))}
    _replace(peer, _answer(other, DICTIONARY))
    merged = peer.generation(DICTIONARY), tuple(peer.values(DICTIONARY))
    assert merged in known or merged[0] > max(ours, 4)
    assert merged[0] >= max(ours, 4)


# -- a process that ends -----------------------------------------------------------------------------------------------


def _filled() -> Peer:
    peer = Peer()
    peer.store(of(SINGLE, signed(SINGLE, there(b"short"), time=1, lifetime=5)))
    peer.storage.handle_timer(5.0)
    peer.store(of(SINGLE, signed(SINGLE, there(b"s"), time=1, lifetime=100)), now=5.0)
    peer.store(of(ARRAY, signed(ARRAY, entry(3, b"a"), time=1, by=ALICE_TOO)), by=ALICE_TOO, now=6.5)
    peer.store(of(OWN_KEY, signed(OWN_KEY, DictionaryEntry(ALICE.node_id, GONE), time=1, lifetime=30)), now=7.0)
    return peer


def test_what_a_storage_holds_is_the_same_after_a_snapshot_is_restored() -> None:
    peer, fresh = _filled(), Peer()
    fresh.storage.restore(peer.storage.snapshot(10.0), 10.0)
    request = FetchReq(HOME, (everything(SINGLE), everything(ARRAY), everything(OWN_KEY)))
    assert fresh.storage.fetch(request, 12.0) == peer.storage.fetch(request, 12.0)
    assert fresh.storage.octets == peer.storage.octets
    assert fresh.storage.get_timer() == pytest.approx(37.0)
    assert fresh.storage.snapshot(12.0) == peer.storage.snapshot(12.0)
    later = of(DICTIONARY, signed(DICTIONARY, item(b"", b""), time=1))
    assert generations(fresh.store(later, now=12.0)) == generations(peer.store(later, now=12.0))


def test_time_has_gone_on_when_a_snapshot_is_restored() -> None:
    octets = _filled().storage.snapshot(10.0)
    fresh = Peer()
    fresh.storage.restore(octets, 50.0)
    assert (fresh.values(SINGLE, now=50.0), fresh.values(ARRAY, now=50.0)) == ([b"s"], [None, None, None, b"a"])
    assert fresh.values(OWN_KEY, now=50.0) == []


def test_a_snapshot_leaves_out_kinds_that_are_not_known_any_more_and_what_has_no_room() -> None:
    octets = _filled().storage.snapshot(10.0)
    fresh = Peer(kinds=BASE_KINDS.updated([ARRAY]))
    fresh.storage.restore(octets, 10.0)
    assert fresh.values(ARRAY, now=10.0) == [None, None, None, b"a"]
    assert len(fresh.storage._holdings.certificates) == 1
    small = Peer(quotas=Quotas(max_octets=1500))
    small.storage.restore(octets, 10.0)
    assert 0 < small.storage.octets <= 1500


def test_a_snapshot_is_restored_into_an_empty_storage_only() -> None:
    peer = _filled()
    with pytest.raises(StateError):
        peer.storage.restore(peer.storage.snapshot(10.0), 10.0)
    assert peer.values(SINGLE, now=10.0) == [b"s"]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_octets_of_no_snapshot_are_refused_and_change_nothing(at: int, flip: int) -> None:
    octets = bytearray(_OCTETS)
    octets[at % len(octets)] ^= flip
    for damaged in (bytes(octets), _OCTETS[: at % len(_OCTETS)], _OCTETS + b"\0"):
        fresh = Peer()
        try:
            fresh.storage.restore(damaged, 10.0)
        except DecodeError:
            assert len(fresh.storage) == 0
        else:
            fresh.storage.handle_timer(1e18)
            assert fresh.storage.octets == 0


_OCTETS = _filled().storage.snapshot(10.0)


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(DecodeError):
        Peer().storage.restore(_OCTETS[:4] + b"\x02" + _OCTETS[5:], 10.0)


def test_a_generation_whose_values_have_expired_before_a_snapshot_is_restored_is_not_used_again() -> None:
    peer, fresh = Peer(), Peer()
    for time in (1, 2, 3):
        peer.store(of(SINGLE, signed(SINGLE, there(b""), time=time, lifetime=10)))
    fresh.storage.restore(peer.storage.snapshot(5.0), 20.0)
    new = of(SINGLE, signed(SINGLE, there(b"new"), time=9))
    assert generations(fresh.store(new, now=20.0)) == generations(peer.store(new, now=20.0)) == {SINGLE.id: 4}


def test_a_snapshot_leaves_out_resources_over_the_quota() -> None:
    peer, small = Peer(), Peer(quotas=Quotas(max_resources=2))
    for number in range(4):
        user = NullSigner(bytes([number]) * 16, f"user{number}@example.org")
        resource = resource_id(f"user{number}@example.org".encode())
        value = signed(SINGLE, there(b""), time=1, by=user, at=resource)
        generations(peer.store(of(SINGLE, value), by=user, at=resource, with_signers=()))
    small.storage.restore(peer.state(), 0.0)
    assert (len(peer.storage), len(small.storage)) == (4, 2)
