"""Store: generation counters, storage times, replicas, and whatever octets (RFC 6940 sections 7.4.1 and 7.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_storing import (
    ALICE,
    ALICE_TOO,
    ARRAY,
    BOB,
    DICTIONARY,
    HOME,
    OWN_KEY,
    PEER,
    SINGLE,
    Peer,
    changed,
    entry,
    error,
    fresh_peer,
    generations,
    item,
    of,
    signed,
    there,
)

from reload._presentation import decode, encode
from reload.contents import ErrorCode
from reload.storage import StoreAccepted
from reload.storage_messages import APPEND, DictionaryEntry, StoreAns, StoreKindData, StoreKindResponse, StoreReq

peer = fresh_peer
_HUGE = (1 << 64) - 1


# -- generations -------------------------------------------------------------------------------------------------------


def test_generation_0_is_stored_over_any_other_and_raises_the_counter(peer: Peer) -> None:
    for number in range(1, 4):
        outcome = peer.store(of(SINGLE, signed(SINGLE, there(b""), time=number)))
        assert generations(outcome) == {SINGLE.id: number}
        assert peer.generation(SINGLE) == number


def test_another_generation_must_be_the_current_one(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))
    assert generations(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=2), generation=1))) == {SINGLE.id: 2}
    for wrong in (1, 3, _HUGE):
        outcome = peer.store(of(SINGLE, signed(SINGLE, there(b""), time=3), generation=wrong), of(ARRAY))
        assert error(outcome) == ErrorCode.GENERATION_COUNTER_TOO_LOW
        assert decode(StoreAns, outcome.error_info) == StoreAns(
            (StoreKindResponse(SINGLE.id, 2, ()), StoreKindResponse(ARRAY.id, 0, ()))
        )


def test_a_generation_of_values_that_are_not_there_is_refused(peer: Peer) -> None:
    outcome = peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1), generation=1))
    assert error(outcome) == ErrorCode.GENERATION_COUNTER_TOO_LOW


def test_the_counter_is_one_for_all_values_of_a_kind_at_a_resource_and_for_no_other(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1)))
    peer.store(of(ARRAY, signed(ARRAY, entry(1, b""), time=1)))
    peer.store(of(DICTIONARY, signed(DICTIONARY, item(b"", b""), time=1)))
    assert (peer.generation(ARRAY), peer.generation(DICTIONARY), peer.generation(SINGLE)) == (2, 1, 0)


def test_a_store_without_values_changes_nothing(peer: Peer) -> None:
    assert generations(peer.store(of(SINGLE))) == {SINGLE.id: 0}
    assert len(peer.storage) == 0


def test_after_all_values_have_expired_the_counter_does_not_begin_again(peer: Peer) -> None:
    for time in (1, 2, 3):
        peer.store(of(SINGLE, signed(SINGLE, there(b""), time=time, lifetime=10)))
    assert peer.generation(SINGLE, now=11.0) == 0
    outcome = peer.store(of(SINGLE, signed(SINGLE, there(b"new"), time=1)), now=11.0)
    assert generations(outcome) == {SINGLE.id: 4}


def test_a_counter_that_a_replica_has_brought_to_its_end_begins_again_at_1(peer: Peer) -> None:
    peer.replicate(of(SINGLE, signed(SINGLE, there(b""), time=1), generation=_HUGE))
    outcome = peer.store(of(SINGLE, signed(SINGLE, there(b""), time=2), generation=_HUGE))
    assert generations(outcome) == {SINGLE.id: 1}


def test_a_replica_of_a_huge_counter_does_not_spoil_those_of_later_values(peer: Peer) -> None:
    peer.replicate(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=1), generation=_HUGE))
    assert generations(peer.store(of(ARRAY, signed(ARRAY, entry(0, b""), time=1)), now=2.0)) == {ARRAY.id: 1}


# -- storage times -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [1, 4, 5])
def test_a_value_that_is_not_newer_than_the_one_it_replaces_is_too_old(peer: Peer, time: int) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"held"), time=5)))
    assert error(peer.store(of(SINGLE, signed(SINGLE, there(b"other"), time=time)))) == ErrorCode.DATA_TOO_OLD
    assert peer.values(SINGLE) == [b"held"]


def test_storage_times_are_compared_with_each_other_and_never_with_a_clock(peer: Peer) -> None:
    for time in (0, 1, _HUGE):
        generations(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=time))))


def test_only_what_is_replaced_has_to_be_older(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b"a"), time=9)), of(SINGLE, signed(SINGLE, there(b""), time=9)))
    generations(peer.store(of(ARRAY, signed(ARRAY, entry(1, b"b"), time=1))))
    generations(peer.store(of(ARRAY, signed(ARRAY, entry(APPEND, b"c"), time=1))))


def test_the_very_same_value_is_too_old_for_an_original_store(peer: Peer) -> None:
    value = of(SINGLE, signed(SINGLE, there(b""), time=5))
    peer.store(value)
    assert error(peer.store(value)) == ErrorCode.DATA_TOO_OLD


def test_an_append_that_is_repeated_adds_nothing(peer: Peer) -> None:
    value = of(ARRAY, signed(ARRAY, entry(APPEND, b"a"), time=5))
    peer.store(value)
    assert error(peer.store(value)) == ErrorCode.DATA_TOO_OLD
    assert peer.values(ARRAY) == [b"a"]


# -- replicas ----------------------------------------------------------------------------------------------------------


def test_a_replica_sets_the_counter_whatever_it_was(peer: Peer) -> None:
    for generation, time in ((7, 1), (3, 2), (_HUGE, 3)):
        value = signed(SINGLE, there(b""), time=time)
        assert generations(peer.replicate(of(SINGLE, value, generation=generation))) == {SINGLE.id: generation}
        assert peer.generation(SINGLE) == generation


def test_a_replica_with_counter_0_is_refused(peer: Peer) -> None:
    assert error(peer.replicate(of(SINGLE, signed(SINGLE, there(b""), time=1)))) == ErrorCode.INVALID_MESSAGE
    assert len(peer.storage) == 0


def test_a_replica_from_another_peer_is_forbidden(peer: Peer) -> None:
    value = of(SINGLE, signed(SINGLE, there(b""), time=1), generation=1)
    peer.where.senders = ()
    assert error(peer.replicate(value)) == ErrorCode.FORBIDDEN
    peer.where.senders = (PEER.node_id,)
    assert error(peer.store(value, replica=1, by=ALICE)) == ErrorCode.FORBIDDEN
    generations(peer.replicate(value))


def test_a_replica_is_taken_by_a_peer_that_is_not_responsible_and_goes_nowhere_from_there(peer: Peer) -> None:
    peer.where.responsible = False
    outcome = peer.replicate(of(SINGLE, signed(SINGLE, there(b"copy"), time=1), generation=4))
    assert isinstance(outcome, StoreAccepted)
    assert outcome.answer.body.kind_responses[0].replicas == ()
    assert peer.values(SINGLE) == [b"copy"]


def test_the_signer_of_a_replicated_value_must_conform_to_the_policy(peer: Peer) -> None:
    value = signed(SINGLE, there(b""), time=1, by=BOB)
    assert error(peer.replicate(of(SINGLE, value, generation=1))) == ErrorCode.FORBIDDEN


def test_the_same_value_once_more_is_success_for_a_replica_and_changes_nothing(peer: Peer) -> None:
    value = signed(SINGLE, there(b""), time=5)
    peer.replicate(of(SINGLE, value, generation=1))
    again = signed(SINGLE, there(b""), time=5, lifetime=90_000)
    assert changed(peer.replicate(of(SINGLE, again, generation=2), now=1.0)) is None
    assert peer.generation(SINGLE) == 2
    assert [each.lifetime for each in peer.read(SINGLE, now=1.0)] == [99]


def test_another_value_of_the_same_time_is_too_old_for_a_replica_too(peer: Peer) -> None:
    peer.replicate(of(SINGLE, signed(SINGLE, there(b"one"), time=5), generation=1))
    for time in (4, 5):
        value = signed(SINGLE, there(b"two"), time=time)
        assert error(peer.replicate(of(SINGLE, value, generation=2))) == ErrorCode.DATA_TOO_OLD


def test_of_a_replica_only_what_is_new_is_taken(peer: Peer) -> None:
    old, new = (signed(ARRAY, entry(i, b"x"), time=5) for i in range(2))
    peer.replicate(of(ARRAY, old, generation=1))
    copy = changed(peer.replicate(of(ARRAY, old, new, generation=2)))
    assert copy is not None
    assert [each.octets for each in copy.values] == [new]


def test_a_replica_that_still_appends_is_taken_once(peer: Peer) -> None:
    value = of(ARRAY, signed(ARRAY, entry(APPEND, b"a"), time=5), generation=1)
    peer.replicate(value)
    assert changed(peer.replicate(value)) is None
    assert peer.values(ARRAY) == [b"a"]


# -- what comes off the wire raises nothing ----------------------------------------------------------------------------


@given(st.binary(max_size=200), st.sampled_from([SINGLE, ARRAY, DICTIONARY, OWN_KEY]), st.booleans())
def test_any_octets_of_a_value_are_answered(octets: bytes, kind: object, is_replica: bool) -> None:
    peer = Peer()
    store = peer.replicate if is_replica else peer.store
    assert error(store(of(kind, octets, generation=int(is_replica)))) in (
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.FORBIDDEN,
    )
    assert len(peer.storage) == 0


_VALUES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda kind, time, by: signed(kind, _VALUE_OF[kind.id], time=time, by=by),
        st.sampled_from([SINGLE, ARRAY, DICTIONARY, OWN_KEY]),
        st.integers(0, _HUGE),
        st.sampled_from([ALICE, ALICE_TOO, BOB]),
    ),
)
_VALUE_OF = {
    SINGLE.id: there(b"x"),
    ARRAY.id: entry(APPEND, b"x"),
    DICTIONARY.id: item(b"k", b"x"),
    OWN_KEY.id: DictionaryEntry(ALICE.node_id, there(b"x")),
}
_REQUESTS = st.builds(
    StoreReq,
    st.sampled_from([HOME, b"", b"\xff" * 254]),
    st.integers(0, 255),
    st.lists(
        st.builds(
            StoreKindData,
            st.sampled_from([SINGLE.id, ARRAY.id, DICTIONARY.id, OWN_KEY.id, 3, 0, 0xFFFFFFFF]),
            st.integers(0, _HUGE),
            st.lists(_VALUES, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)


@given(_REQUESTS)
def test_any_store_request_is_answered(request: StoreReq) -> None:
    peer = Peer()
    assert decode(StoreReq, encode(request)) == request
    by, replica = (PEER, request.replica_number) if request.replica_number else (ALICE, 0)
    outcome = peer.store(*request.kind_data, at=request.resource, by=by, replica=replica)
    if isinstance(outcome, StoreAccepted):
        encode(outcome.answer.body)
    else:
        encode(outcome)
        assert len(peer.storage) == 0
