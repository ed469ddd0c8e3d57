"""Store: what is taken, in which order it is checked, and how long it holds (RFC 6940 sections 7.4.1 and 7.2)."""

import pytest
from reload_storing import (
    ALICE,
    ARRAY,
    BOB,
    DICTIONARY,
    GONE,
    HOME,
    SINGLE,
    UNSIGNED,
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
from reload.contents import ErrorCode, UnknownKinds
from reload.kinds import BASE_KINDS
from reload.storage import StoreAccepted
from reload.storage_messages import (
    APPEND,
    ArrayEntry,
    DataValue,
    StoreAns,
    StoredSingle,
    StoreKindData,
    StoreKindResponse,
)

peer = fresh_peer


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
