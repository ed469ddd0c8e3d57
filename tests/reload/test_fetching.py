"""Fetch, Stat and Find (RFC 6940 sections 7.4.2 to 7.4.4)."""

import hashlib
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_storing import (
    ALICE,
    ALICE_TOO,
    ARRAY,
    DICTIONARY,
    GONE,
    HOME,
    OWN_KEY,
    SINGLE,
    UNSIGNED,
    Peer,
    entry,
    error,
    everything,
    item,
    of,
    signed,
    there,
)

from reload._presentation import decode, encode
from reload.contents import ErrorCode, UnknownKinds
from reload.exchange import Answer
from reload.fetching import MAX_GAPS, synthetic
from reload.kinds import TURN_SERVICE, AccessControl, Kind
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DictionaryEntry,
    DictionarySpecifier,
    FetchKindResponse,
    FetchReq,
    FindKindData,
    FindReq,
    StoredArrayEntry,
    StoredDataSpecifier,
    StoredMetaArrayEntry,
    StoredMetaDictionaryEntry,
    StoredMetaSingle,
    StoredSingle,
)
from reload.stored_data import decode_metadata

_ZEROS = bytes(16)


@pytest.fixture
def peer() -> Peer:
    return Peer()


def _ranges(*ranges: tuple[int, int], generation: int = 0) -> StoredDataSpecifier:
    wanted = ArraySpecifier(tuple(ArrayRange(*each) for each in ranges))
    return StoredDataSpecifier(ARRAY.id, generation, encode(wanted))


def _keys(*keys: bytes) -> StoredDataSpecifier:
    return StoredDataSpecifier(DICTIONARY.id, 0, encode(DictionarySpecifier(keys)))


def _fetched(peer: Peer, *wanted: StoredDataSpecifier, now: float = 0.0) -> list[FetchKindResponse]:
    answer = peer.storage.fetch(FetchReq(HOME, wanted), now)
    assert isinstance(answer, Answer), answer
    return list(answer.body.kind_responses)


def _indices(peer: Peer, *ranges: tuple[int, int]) -> list[tuple[int, bool]]:
    """The indices of an answer, and whether a value exists there."""
    (response,) = _fetched(peer, _ranges(*ranges))
    entries = [decode(StoredArrayEntry, octets).value for octets in response.values]
    return [(each.index, each.value.exists) for each in entries]


def _store_array(peer: Peer, *indices: int) -> None:
    peer.store(of(ARRAY, *(signed(ARRAY, entry(index, b"x"), time=1) for index in indices)))


def test_one_response_comes_for_each_kind_in_the_order_of_the_request_stored_or_not(peer: Peer) -> None:
    value = signed(SINGLE, there(b"abc"), time=1)
    peer.store(of(SINGLE, value))
    assert _fetched(peer, everything(ARRAY), everything(SINGLE), everything(DICTIONARY)) == [
        FetchKindResponse(ARRAY.id, 0, ()),
        FetchKindResponse(SINGLE.id, 1, (value,)),
        FetchKindResponse(DICTIONARY.id, 0, ()),
    ]


def test_no_values_come_when_the_generation_is_still_the_same(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))
    assert _fetched(peer, everything(SINGLE, generation=1)) == [FetchKindResponse(SINGLE.id, 1, ())]
    for other in (0, 2):
        assert len(_fetched(peer, everything(SINGLE, generation=other))[0].values) == 1


def test_a_single_value_that_is_not_there_is_synthetic(peer: Peer) -> None:
    (response,) = _fetched(peer, everything(SINGLE))
    assert response.generation == 0
    assert [decode(StoredSingle, octets) for octets in response.values] == [StoredSingle(0, 0, GONE, UNSIGNED)]
    # storage_time, lifetime, exists, no octets; {0, 0}, none(3) of no octets, no signature.
    assert response.values[0].hex() == "00" * 8 + "00" * 4 + "00" + "00000000" + "0000" + "030000" + "0000"


def test_ranges_of_an_array_include_both_ends(peer: Peer) -> None:
    _store_array(peer, 0, 1, 2, 3)
    assert _indices(peer, (1, 2)) == [(1, True), (2, True)]
    assert _indices(peer, (3, 3), (0, 0)) == [(3, True), (0, True)]
    assert _indices(peer, (2, APPEND)) == [(2, True), (3, True)]


def test_no_ranges_ask_for_no_values(peer: Peer) -> None:
    _store_array(peer, 0)
    assert _indices(peer) == []


def test_gaps_of_an_array_are_synthetic_up_to_its_last_entry_and_not_beyond(peer: Peer) -> None:
    _store_array(peer, 1, 4)
    assert _indices(peer, (0, 2)) == [(0, False), (1, True), (2, False)]
    assert _indices(peer, (2, 3), (5, APPEND)) == [(2, False), (3, False)]
    assert _indices(peer, (0, APPEND)) == [(0, False), (1, True), (2, False), (3, False), (4, True)]


def test_an_array_with_a_gap_of_billions_is_answered_with_all_its_values_and_some_of_the_gap(peer: Peer) -> None:
    _store_array(peer, 3, APPEND - 2, APPEND - 1)
    found = _indices(peer, (0, APPEND))
    assert [index for index, exists in found if exists] == [3, APPEND - 2, APPEND - 1]
    assert len(found) == MAX_GAPS + 3
    assert len(_indices(peer, (5, 1 << 31), ((1 << 31) + 1, APPEND))) == MAX_GAPS + 2


@given(
    st.sets(st.integers(0, 12), max_size=5),
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 5)), max_size=3),
)
def test_ranges_give_what_asking_index_by_index_gives(held: set[int], asked: list[tuple[int, int]]) -> None:
    kind = Kind(ARRAY.id, DataModel.ARRAY, AccessControl.USER_MATCH, 13, 100)
    peer = Peer(kinds=Peer().storage._rules.kinds.updated([kind]))
    _store_array(peer, *sorted(held))
    ranges, free = [], 0
    for first, more in sorted(asked):
        if first >= free:
            ranges.append((first, first + more))
            free = first + more + 1
    last = max(held, default=-1)
    expected = [(i, i in held) for first, stop in ranges for i in range(first, stop + 1) if i <= last]
    assert _indices(peer, *ranges) == expected


def test_a_dictionary_without_keys_gives_all_of_them(peer: Peer) -> None:
    values = [signed(DICTIONARY, item(key, b"x"), time=1) for key in (b"b", b"", b"a")]
    peer.store(of(DICTIONARY, *values))
    assert _fetched(peer, _keys()) == [FetchKindResponse(DICTIONARY.id, 1, tuple(values))]


def test_keys_give_their_values_once_and_a_synthetic_one_where_there_is_none(peer: Peer) -> None:
    value = signed(DICTIONARY, item(b"a", b"x"), time=1)
    peer.store(of(DICTIONARY, value, signed(DICTIONARY, item(b"b", b"y"), time=1)))
    (response,) = _fetched(peer, _keys(b"nobody", b"a", b"a", b"nobody"))
    assert response.values == (synthetic(DataModel.DICTIONARY, b"nobody"), value)


def test_the_certificates_of_the_signers_come_with_the_values_each_once(peer: Peer) -> None:
    own = [signed(OWN_KEY, DictionaryEntry(by.node_id, there(b"")), time=1, by=by) for by in (ALICE, ALICE_TOO)]
    peer.store(of(OWN_KEY, own[0]), of(SINGLE, signed(SINGLE, there(b""), time=1)))
    peer.store(of(OWN_KEY, own[1]), by=ALICE_TOO)
    answer = peer.storage.fetch(FetchReq(HOME, (everything(OWN_KEY), everything(SINGLE))), 0.0)
    assert isinstance(answer, Answer)
    assert answer.certificates == ALICE.certificates + ALICE_TOO.certificates
    answer = peer.storage.fetch(FetchReq(HOME, (everything(SINGLE), everything(ARRAY))), 0.0)
    assert isinstance(answer, Answer)
    assert answer.certificates == ALICE.certificates


@pytest.mark.parametrize("ask", ["fetch", "stat"])
def test_unknown_kinds_are_refused_with_all_of_them(peer: Peer, ask: str) -> None:
    wanted = (StoredDataSpecifier(98, 0, b""), everything(SINGLE), StoredDataSpecifier(99, 0, b"\xff"))
    outcome = getattr(peer.storage, ask)(FetchReq(HOME, wanted), 0.0)
    assert error(outcome) == ErrorCode.UNKNOWN_KIND
    assert decode(UnknownKinds, outcome.error_info) == UnknownKinds((98, 99))


@pytest.mark.parametrize("ask", ["fetch", "stat"])
@pytest.mark.parametrize(
    "wanted",
    [
        (everything(SINGLE), everything(SINGLE)),
        (StoredDataSpecifier(SINGLE.id, 0, b"\0"),),
        (_ranges((2, 1)),),
        (_ranges((0, 2), (2, 3)),),
        (StoredDataSpecifier(DICTIONARY.id, 0, b"\0"),),
    ],
    ids=["twice", "single", "backwards", "overlapping", "cut"],
)
def test_a_malformed_request_is_an_invalid_message(peer: Peer, ask: str, wanted: Any) -> None:
    assert error(getattr(peer.storage, ask)(FetchReq(HOME, wanted), 0.0)) == ErrorCode.INVALID_MESSAGE


def test_a_replica_can_be_asked_directly(peer: Peer) -> None:
    peer.replicate(of(SINGLE, signed(SINGLE, there(b"copy"), time=1), generation=5))
    peer.where.responsible = False
    assert peer.values(SINGLE) == [b"copy"]


@given(
    st.lists(
        st.builds(
            StoredDataSpecifier,
            st.sampled_from([SINGLE.id, ARRAY.id, DICTIONARY.id, 0, 99]),
            st.integers(0, 3),
            st.binary(max_size=20) | st.just(everything(ARRAY).model_specifier),
        ),
        max_size=4,
    ),
    st.binary(max_size=20),
)
def test_any_fetch_and_stat_is_answered(wanted: list[StoredDataSpecifier], resource: bytes) -> None:
    peer = Peer()
    _store_array(peer, 0, APPEND - 1)
    request = FetchReq(HOME if len(resource) > 10 else resource, tuple(wanted))
    for reply in (peer.storage.fetch(request, 0.0), peer.storage.stat(request, 0.0)):
        encode(reply.body if isinstance(reply, Answer) else reply)


# -- Stat --------------------------------------------------------------------------------------------------------------


def _metadata(peer: Peer, wanted: StoredDataSpecifier, now: float = 0.0) -> Any:
    answer = peer.storage.stat(FetchReq(HOME, (wanted,)), now)
    assert isinstance(answer, Answer), answer
    assert answer.certificates == ()
    (response,) = answer.body.kind_responses
    return decode_metadata(response, peer.storage._rules.kinds)


def test_stat_hashes_the_value_with_its_four_octets_of_length(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"abc"), time=7, lifetime=50)))
    (found,) = _metadata(peer, everything(SINGLE), now=20.0)
    assert isinstance(found, StoredMetaSingle)
    assert (found.storage_time, found.lifetime) == (7, 30)
    assert (found.metadata.exists, found.metadata.value_length, found.metadata.hash_algorithm) == (True, 3, 4)
    assert found.metadata.hash_value == hashlib.sha256(b"\0\0\0\x03abc").digest()


def test_stat_says_which_entries_there_are(peer: Peer) -> None:
    _store_array(peer, 1)
    nothing, something = _metadata(peer, everything(ARRAY))
    assert isinstance(nothing, StoredMetaArrayEntry)
    assert (nothing.storage_time, nothing.lifetime, nothing.metadata.index) == (0, 0, 0)
    assert (nothing.metadata.value.exists, nothing.metadata.value.value_length) == (False, 0)
    assert nothing.metadata.value.hash_value == hashlib.sha256(bytes(4)).digest()
    assert (something.metadata.index, something.metadata.value.exists) == (1, True)
    peer.store(of(DICTIONARY, signed(DICTIONARY, item(b"key", b"value"), time=1)))
    (found,) = _metadata(peer, everything(DICTIONARY))
    assert isinstance(found, StoredMetaDictionaryEntry)
    assert (found.metadata.key, found.metadata.value.value_length) == (b"key", 5)


def test_stat_gives_nothing_when_the_generation_is_still_the_same(peer: Peer) -> None:
    _store_array(peer, 0)
    assert _metadata(peer, everything(ARRAY, generation=1)) == ()


def test_the_first_length_of_metadata_is_that_of_the_structure_and_the_second_that_of_the_value(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"abc"), time=7, lifetime=50)))
    answer = peer.storage.stat(FetchReq(HOME, (everything(SINGLE),)), 0.0)
    assert isinstance(answer, Answer)
    digest = hashlib.sha256(b"\0\0\0\x03abc").hexdigest()
    metadata = "0000000000000007" + "00000032" + "01" + "00000003" + "0420" + digest
    response = (
        f"{SINGLE.id:08x}" + f"{1:016x}" + f"{4 + len(metadata) // 2:08x}" + f"{len(metadata) // 2:08x}" + metadata
    )
    assert encode(answer.body).hex() == f"{len(response) // 2:08x}" + response


# -- Find --------------------------------------------------------------------------------------------------------------


def _node_ids(count: int) -> list[NullSigner]:
    return [NullSigner(hashlib.sha256(bytes([number])).digest()[:16]) for number in range(count)]


def _with_turn(*signers: NullSigner) -> tuple[Peer, list[bytes]]:
    """A peer that holds a TURN server of each, and where."""
    peer = Peer()
    places = []
    for by in signers:
        at = resource_id(by.node_id + b"\x01")
        peer.store(of(TURN_SERVICE, signed(TURN_SERVICE, there(b"t"), time=1, by=by, at=at)), at=at, by=by)
        places.append(at)
    return peer, sorted(places)


def _found(peer: Peer, at: bytes, *kinds: int, now: float = 0.0) -> list[FindKindData]:
    answer = peer.storage.find(FindReq(at, kinds), now)
    assert isinstance(answer, Answer), answer
    return list(answer.body.results)


def test_find_gives_the_next_resource_upwards_and_around() -> None:
    peer, places = _with_turn(*_node_ids(5))
    for number, place in enumerate(places):
        after = (int.from_bytes(place, "big") + 1).to_bytes(16, "big")
        assert _found(peer, place, 2) == [FindKindData(2, place)]
        assert _found(peer, after, 2) == [FindKindData(2, places[(number + 1) % 5])]


@given(st.binary(min_size=16, max_size=16))
def test_find_gives_what_a_search_through_all_gives(at: bytes) -> None:
    peer, places = _PREPARED
    assert _found(peer, at, 2) == [FindKindData(2, places[bisect_left(places, at) % len(places)])]


_PREPARED = _with_turn(*_node_ids(9))


def test_walking_with_find_meets_every_resource_once() -> None:
    peer, places = _with_turn(*_node_ids(6))
    at, met = _ZEROS, []
    for _ in range(6):
        (result,) = _found(peer, at, 2)
        met.append(result.closest)
        at = (int.from_bytes(result.closest, "big") + 1).to_bytes(16, "big")
    assert met == places


def test_find_answers_zeros_for_kinds_that_are_unknown_or_of_which_there_is_nothing(peer: Peer) -> None:
    assert _found(peer, HOME, 99, SINGLE.id) == [FindKindData(99, _ZEROS), FindKindData(SINGLE.id, _ZEROS)]


def test_find_does_not_give_what_was_removed_or_has_expired(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=10)))
    assert _found(peer, _ZEROS, SINGLE.id) == [FindKindData(SINGLE.id, HOME)]
    assert _found(peer, _ZEROS, SINGLE.id, now=10.0) == [FindKindData(SINGLE.id, _ZEROS)]
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1), signed(ARRAY, entry(1, b""), time=1)))
    for index, still in ((0, HOME), (1, _ZEROS)):
        peer.store(of(ARRAY, signed(ARRAY, ArrayEntry(index, GONE), time=2)))
        assert _found(peer, _ZEROS, ARRAY.id) == [FindKindData(ARRAY.id, still)]


def test_find_refuses_a_kind_that_stands_there_twice(peer: Peer) -> None:
    assert error(peer.storage.find(FindReq(HOME, (2, 3, 2)), 0.0)) == ErrorCode.INVALID_MESSAGE


def test_find_leaves_out_kinds_that_are_not_to_be_found() -> None:
    peer = Peer(hidden_kinds={SINGLE.id})
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))
    assert _found(peer, HOME, SINGLE.id, ARRAY.id) == [FindKindData(ARRAY.id, _ZEROS)]


def test_find_for_a_resource_of_another_peer_is_not_found(peer: Peer) -> None:
    peer.where.responsible = False
    assert error(peer.storage.find(FindReq(HOME, (2,)), 0.0)) == ErrorCode.NOT_FOUND


@given(st.binary(max_size=30), st.lists(st.integers(0, 0xFFFFFFFF) | st.sampled_from([2, SINGLE.id]), max_size=5))
def test_any_find_is_answered(at: bytes, kinds: list[int]) -> None:
    peer, _ = _PREPARED
    reply = peer.storage.find(FindReq(at, tuple(kinds)), 0.0)
    encode(reply.body if isinstance(reply, Answer) else reply)
