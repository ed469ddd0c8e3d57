"""Store: what is taken, in which order it is checked, and what holds afterwards (RFC 6940 sections 7.4.1 and 7.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_storing import (
    ALICE,
    ALICE_TOO,
    ARRAY,
    BOB,
    DICTIONARY,
    GONE,
    HOME,
    OWN_KEY,
    PEER,
    SINGLE,
    UNSIGNED,
    Peer,
    changed,
    entry,
    error,
    generations,
    item,
    of,
    signed,
    there,
)

from reload._presentation import decode, encode
from reload.contents import ErrorCode, UnknownKinds
from reload.kinds import BASE_KINDS
from reload.storage import StoreAccepted
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    DataValue,
    DictionaryEntry,
    StoreAns,
    StoredSingle,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)

_HUGE = (1 << 64) - 1


@pytest.fixture
def peer() -> Peer:
    return Peer()


# -- what a Store does -------------------------------------------------------------------------------------------------


def test_a_single_value_is_created_and_overwritten(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"one"), time=1)))
    assert peer.values(SINGLE) == [b"one"]
    peer.store(of(SINGLE, signed(SINGLE, there(b"two"), time=2)))
    assert peer.values(SINGLE) == [b"two"]


def test_an_empty_value_is_not_one_that_does_not_exist(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))
    assert peer.values(SINGLE) == [b""]
    peer.store(of(SINGLE, signed(SINGLE, GONE, time=2)))
    assert peer.values(SINGLE) == [None]


def test_a_store_past_the_end_of_an_array_leaves_a_gap_of_nonexistent_values(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(2, b"X"), time=1)))
    assert peer.values(ARRAY) == [None, None, b"X"]
    peer.store(of(ARRAY, signed(ARRAY, entry(1, b"Y"), time=1)))
    assert peer.values(ARRAY) == [None, b"Y", b"X"]


def test_index_0xffffffff_puts_a_value_at_the_end_of_the_array_with_its_true_index(peer: Peer) -> None:
    peer.store(of(ARRAY, *(signed(ARRAY, entry(APPEND, bytes([i])), time=7) for i in range(2))))
    peer.store(of(ARRAY, signed(ARRAY, entry(5, b"far"), time=7)))
    peer.store(of(ARRAY, signed(ARRAY, entry(APPEND, b"last"), time=7)))
    found = [each.value for each in peer.read(ARRAY)]
    assert [each.index for each in found if isinstance(each, ArrayEntry)] == [0, 1, 2, 3, 4, 5, 6]
    assert peer.values(ARRAY) == [b"\0", b"\1", None, None, None, b"far", b"last"]


def test_what_was_removed_at_the_end_of_an_array_still_counts_for_where_the_end_is(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b"a"), time=1), signed(ARRAY, entry(1, b"b"), time=1)))
    peer.store(of(ARRAY, signed(ARRAY, ArrayEntry(1, GONE), time=2)))
    peer.store(of(ARRAY, signed(ARRAY, entry(APPEND, b"c"), time=1)))
    assert peer.values(ARRAY) == [b"a", None, b"c"]


def test_nothing_is_appended_behind_the_last_index_there_can_be(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(APPEND - 1, b"a"), time=1)))
    assert error(peer.store(of(ARRAY, signed(ARRAY, entry(APPEND, b"b"), time=1)))) == ErrorCode.DATA_TOO_LARGE


def test_a_dictionary_has_one_value_a_key(peer: Peer) -> None:
    peer.store(
        of(DICTIONARY, signed(DICTIONARY, item(b"a", b"1"), time=1), signed(DICTIONARY, item(b"", b"2"), time=1))
    )
    peer.store(of(DICTIONARY, signed(DICTIONARY, item(b"a", b"3"), time=2)))
    assert peer.values(DICTIONARY) == [b"3", b"2"]


def test_one_request_stores_values_of_several_kinds(peer: Peer) -> None:
    outcome = peer.store(
        of(SINGLE, signed(SINGLE, there(b"abc"), time=1)),
        of(ARRAY, signed(ARRAY, entry(0, b"foo"), time=2), signed(ARRAY, entry(1, b"bar"), time=3)),
    )
    assert generations(outcome) == {SINGLE.id: 1, ARRAY.id: 1}
    assert (peer.values(SINGLE), peer.values(ARRAY)) == ([b"abc"], [b"foo", b"bar"])
    assert len(peer.storage) == peer.storage.num_resources() == 1
    assert list(peer.storage.resources()) == [HOME]


def test_the_answer_has_the_new_counters_and_who_gets_replicas(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"1"), time=1)))
    outcome = peer.store(of(SINGLE, signed(SINGLE, there(b"2"), time=2)), of(ARRAY))
    assert isinstance(outcome, StoreAccepted)
    assert outcome.answer.body == StoreAns(
        (
            StoreKindResponse(SINGLE.id, 2, peer.where.replicas),
            StoreKindResponse(ARRAY.id, 0, peer.where.replicas),
        )
    )


def test_what_a_store_has_changed_is_to_be_replicated_and_nothing_else(peer: Peer) -> None:
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b"a"), time=1)))
    copy = changed(peer.store(of(ARRAY, signed(ARRAY, entry(APPEND, b"b"), time=1)), now=5.0))
    assert copy is not None
    assert copy.kind_data == (of(ARRAY, signed(ARRAY, entry(1, b"b"), time=1), generation=2),)
    assert copy.certificates == ALICE.certificates
    assert changed(peer.store(of(ARRAY))) is None


# -- atomic, and each Kind once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        of(DICTIONARY, signed(DICTIONARY, item(b"k", bytes(101)), time=1)),
        of(DICTIONARY, signed(DICTIONARY, item(b"k", b""), time=1, by=BOB)),
        of(DICTIONARY, signed(DICTIONARY, item(b"k", b""), time=1), generation=9),
        of(DICTIONARY, signed(DICTIONARY, item(b"k", b"new"), time=1), signed(DICTIONARY, item(b"k", b"old"), time=1)),
        of(DICTIONARY, b"no StoredData"),
        of(DICTIONARY, *(signed(DICTIONARY, item(bytes([i]), b""), time=1) for i in range(5))),
        StoreKindData(0xF00000FF, 0, ()),
        StoreKindData(SINGLE.id, 0, ()),
    ],
    ids=["large", "forbidden", "generation", "old", "malformed", "many", "unknown", "twice"],
)
def test_a_kind_that_fails_leaves_the_others_as_they_were(peer: Peer, bad: StoreKindData) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"before"), time=1)), of(ARRAY, signed(ARRAY, entry(0, b"a"), time=1)))
    before, octets = peer.state(), peer.storage.octets
    good = (of(SINGLE, signed(SINGLE, there(b"after"), time=2)), of(ARRAY, signed(ARRAY, entry(APPEND, b"b"), time=2)))
    error(peer.store(*good, bad))
    error(peer.store(bad, *good))
    assert (peer.state(), peer.storage.octets) == (before, octets)
    generations(peer.store(*good))
    assert peer.values(SINGLE) == [b"after"]


def test_the_same_kind_twice_in_a_request_is_refused(peer: Peer) -> None:
    data = of(SINGLE, signed(SINGLE, there(b"1"), time=1)), of(SINGLE, signed(SINGLE, there(b"2"), time=2))
    assert error(peer.store(*data)) == ErrorCode.INVALID_MESSAGE


def test_the_values_of_a_request_are_processed_in_turn(peer: Peer) -> None:
    first, second = (signed(ARRAY, entry(0, bytes([i])), time=i) for i in (1, 2))
    assert error(peer.store(of(ARRAY, second, first))) == ErrorCode.DATA_TOO_OLD
    generations(peer.store(of(ARRAY, first, second)))
    assert peer.values(ARRAY) == [b"\2"]


def test_two_values_for_a_single_one_are_refused(peer: Peer) -> None:
    values = (signed(SINGLE, there(b""), time=time) for time in (1, 2))
    assert error(peer.store(of(SINGLE, *values))) == ErrorCode.INVALID_MESSAGE


# -- the order of the checks -------------------------------------------------------------------------------------------


def test_the_checks_come_in_the_order_of_the_rfc(peer: Peer) -> None:
    """Each request has all the faults that are still left; one after the other is mended."""
    peer.store(of(SINGLE, signed(SINGLE, there(b"held"), time=5)))
    unknown = StoreKindData(0xF00000FF, 0, ())

    def ask(value: DataValue, *more: StoreKindData, time: int = 5, generation: int = 9, by=ALICE, forged=False) -> int:
        octets = signed(SINGLE, value, time=time, by=by)
        if forged:
            octets = octets[:-1] + bytes([octets[-1] ^ 1])
        return error(peer.store(of(SINGLE, octets, generation=generation), *more, by=by))

    large = there(bytes(101))
    peer.where.responsible = False
    assert ask(large, unknown, by=BOB, forged=True) == ErrorCode.FORBIDDEN
    peer.where.responsible = True
    assert ask(large, unknown, by=BOB, forged=True) == ErrorCode.UNKNOWN_KIND
    assert ask(large, by=BOB, forged=True) == ErrorCode.FORBIDDEN
    assert ask(large, by=BOB) == ErrorCode.FORBIDDEN
    assert ask(large) == ErrorCode.GENERATION_COUNTER_TOO_LOW
    assert ask(large, generation=1) == ErrorCode.DATA_TOO_OLD
    assert ask(large, generation=1, time=6) == ErrorCode.DATA_TOO_LARGE


def test_a_check_of_all_kinds_comes_before_the_next_check_of_any(peer: Peer) -> None:
    large = of(SINGLE, signed(SINGLE, there(bytes(101)), time=1))
    foreign = of(ARRAY, signed(ARRAY, entry(0, b""), time=1, by=BOB))
    assert error(peer.store(large, foreign)) == ErrorCode.FORBIDDEN


def test_a_store_at_a_peer_that_is_not_responsible_is_forbidden(peer: Peer) -> None:
    peer.where.responsible = False
    assert error(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))) == ErrorCode.FORBIDDEN


def test_a_store_of_unknown_kinds_is_answered_with_all_of_them(peer: Peer) -> None:
    outcome = peer.store(
        StoreKindData(98, 0, ()), of(SINGLE, signed(SINGLE, there(b""), time=1)), StoreKindData(99, 0, ())
    )
    assert error(outcome) == ErrorCode.UNKNOWN_KIND
    assert decode(UnknownKinds, outcome.error_info) == UnknownKinds((98, 99))


def test_of_very_many_unknown_kinds_the_error_names_as_many_as_it_has_room_for(peer: Peer) -> None:
    outcome = peer.store(*(StoreKindData(number, 0, ()) for number in range(1000, 1100)))
    assert decode(UnknownKinds, outcome.error_info) == UnknownKinds(tuple(range(1000, 1063)))


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


# -- lifetimes and removal ---------------------------------------------------------------------------------------------


def test_a_lifetime_counts_from_receipt_and_what_is_left_is_told(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1, lifetime=100)), now=50.0)
    assert [peer.read(SINGLE, now=now)[0].lifetime for now in (50.0, 50.5, 149.0)] == [100, 99, 1]
    assert peer.values(SINGLE, now=149.9) == [b""]
    assert peer.read(SINGLE, now=150.0)[0].signature == UNSIGNED


@pytest.mark.parametrize("now", [0.1, 1.7, 12345.678, 1e7 + 1 / 3])
def test_a_copy_made_at_once_is_of_the_octets_that_came(peer: Peer, now: float) -> None:
    octets = signed(SINGLE, there(b"abc"), time=1, lifetime=86_400)
    copy = changed(peer.store(of(SINGLE, octets), now=now))
    assert copy is not None
    assert [each.octets for each in copy.values] == [octets]


def test_a_timer_is_due_when_the_first_value_expires_and_forgets_it() -> None:
    peer = Peer()
    assert peer.storage.get_timer() is None
    peer.store(of(ARRAY, signed(ARRAY, entry(0, b"a"), time=1, lifetime=30)))
    peer.store(of(ARRAY, signed(ARRAY, entry(1, b"b"), time=1, lifetime=20)))
    assert peer.storage.get_timer() == 20.0
    peer.storage.handle_timer(19.9)
    assert peer.values(ARRAY, now=19.9) == [b"a", b"b"]
    peer.storage.handle_timer(20.0)
    assert peer.storage.get_timer() == 30.0
    peer.storage.handle_timer(30.0)
    assert peer.storage.get_timer() is None
    assert len(peer.storage) == 0
    assert peer.storage.octets == 0
    peer.storage.handle_timer(0.0)


def test_a_value_that_was_replaced_expires_with_its_own_lifetime(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"short"), time=1, lifetime=10)))
    peer.store(of(SINGLE, signed(SINGLE, there(b"long"), time=2, lifetime=100)))
    assert peer.values(SINGLE, now=50.0) == [b"long"]
    peer.store(of(SINGLE, signed(SINGLE, there(b"short"), time=3, lifetime=10)), now=50.0)
    assert peer.values(SINGLE, now=60.0) == [None]
    assert len(peer.storage) == 0


def test_a_lifetime_of_0_is_over_at_once(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))
    generations(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=2, lifetime=0))))
    assert peer.values(SINGLE) == [None]
    assert len(peer.storage) == 0


def test_stores_without_end_leave_no_timers_behind(peer: Peer) -> None:
    for time in range(1, 2000):
        lifetime = 10_000 - time if time % 2 else 20_000 + time
        peer.store(of(SINGLE, signed(SINGLE, there(b""), time=time, lifetime=lifetime)))
    assert len(peer.storage._holdings._times) < 100
    peer.storage.handle_timer(30_000.0)
    assert len(peer.storage) == 0


def test_a_removed_value_is_held_as_any_other_until_its_lifetime_is_over(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b"here"), time=1)))
    copy = changed(peer.store(of(SINGLE, signed(SINGLE, GONE, time=2, lifetime=50))))
    assert copy is not None
    assert copy.kind_data == (of(SINGLE, signed(SINGLE, GONE, time=2, lifetime=50), generation=2),)
    (removed,) = peer.read(SINGLE)
    assert removed.value == GONE
    assert removed.signature != UNSIGNED
    assert error(peer.store(of(SINGLE, signed(SINGLE, there(b"here"), time=1)))) == ErrorCode.DATA_TOO_OLD
    (nothing,) = peer.read(SINGLE, now=50.0)
    assert nothing.value == GONE
    assert nothing.signature == UNSIGNED


def test_a_value_that_does_not_exist_must_have_no_octets(peer: Peer) -> None:
    octets = signed(SINGLE, DataValue(exists=False, value=b"hidden"), time=1)
    assert error(peer.store(of(SINGLE, octets))) == ErrorCode.INVALID_MESSAGE


def test_what_has_expired_in_an_array_leaves_a_gap(peer: Peer) -> None:
    peer.store(of(ARRAY, *(signed(ARRAY, entry(i, b"x"), time=1, lifetime=100 - 40 * i % 60) for i in range(3))))
    assert [each.signature == UNSIGNED for each in peer.read(ARRAY, now=65.0)] == [False, True, False]


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


def test_kinds_that_are_not_known_any_more_take_their_values_along(peer: Peer) -> None:
    peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)), of(ARRAY, signed(ARRAY, entry(0, b""), time=1)))
    peer.storage.drop_kinds([SINGLE.id, 77])
    assert peer.values(SINGLE) == [None]
    assert peer.values(ARRAY) == [b""]
    peer.storage.use(BASE_KINDS)
    assert len(peer.storage) == 0
    assert peer.storage.octets == 0
    assert error(peer.store(of(SINGLE, signed(SINGLE, there(b""), time=1)))) == ErrorCode.UNKNOWN_KIND


def test_values_are_kept_as_octets_so_that_copies_are_identical(peer: Peer) -> None:
    octets = encode(decode(StoredSingle, signed(SINGLE, there(b"abc"), time=1)))
    peer.store(of(SINGLE, octets))
    copy = peer.storage.values_of(HOME, 0.0)
    assert copy is not None
    assert copy.values[0].octets == octets
