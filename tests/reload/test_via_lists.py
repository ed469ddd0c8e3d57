"""Via Lists as they are, in a table, and sealed (RFC 6940 sections 6.1.3 and 6.3.2.2)."""

import random

import pytest
from reload_identities import node_id

from reload.destinations import Destination, NodeDestination, OpaqueDestination, encode_destinations
from reload.via_lists import MAX_KEPT, CompactViaLists, FullViaLists, SealedViaLists, ViaList

_LIST: ViaList = tuple(NodeDestination(node_id(number)) for number in (1, 2, 3))


def _chance(seed: int = 1) -> random.Random:
    return random.Random(seed)


def _opaque(packed: tuple[Destination, ...]) -> OpaqueDestination:
    (opaque,) = packed
    assert isinstance(opaque, OpaqueDestination)
    return opaque


def test_full_lists_are_sent_as_they_are_and_no_opaque_id_is_known() -> None:
    lists = FullViaLists()
    assert lists.pack(_LIST, 0.0) == _LIST
    assert lists.unpack(OpaqueDestination(b"\x80\x00"), 0.0) is None


def test_a_compact_id_has_two_octets_and_stands_for_its_list_as_long_as_that_is_kept() -> None:
    lists = CompactViaLists(_chance().randbytes, lifetime=15.0)
    opaque = _opaque(lists.pack(_LIST, 0.0))
    assert encode_destinations([opaque], 16) == opaque.opaque_id
    assert opaque.opaque_id[0] & 0x80
    assert lists.unpack(opaque, 14.9) == _LIST
    assert lists.unpack(opaque, 14.9) == _LIST
    assert lists.unpack(opaque, 15.0) is None


def test_a_list_that_is_too_long_to_be_kept_is_sent_as_it_is() -> None:
    lists = CompactViaLists(_chance().randbytes)
    long = (NodeDestination(node_id(1)),) * (MAX_KEPT + 1)
    assert lists.pack(long, 0.0) == long
    assert len(lists) == 0
    assert lists.unpack(_opaque(lists.pack(long[1:], 0.0)), 0.0) == long[1:]


def test_a_compact_id_may_come_back_in_its_long_form() -> None:
    lists = CompactViaLists(_chance().randbytes)
    opaque = _opaque(lists.pack(_LIST, 0.0))
    assert lists.unpack(OpaqueDestination(opaque.opaque_id), 0.0) == _LIST


def test_the_generation_of_a_slot_must_be_the_one_that_is_in_use() -> None:
    lists = CompactViaLists(_chance().randbytes, lifetime=1.0)
    old = _opaque(lists.pack(_LIST, 0.0))
    for _ in range(4095):
        lists.pack(_LIST, 0.0)
    new = _opaque(lists.pack(_LIST[:1], 2.0))
    assert int.from_bytes(old.opaque_id) >> 3 == int.from_bytes(new.opaque_id) >> 3
    assert old != new
    assert lists.unpack(old, 2.0) is None
    assert lists.unpack(new, 2.0) == _LIST[:1]


@pytest.mark.parametrize("opaque_id", [b"", b"\x80", b"\x80\x00\x00", b"\x00\x00"])
def test_an_opaque_id_of_another_form_stands_for_nothing(opaque_id: bytes) -> None:
    lists = CompactViaLists(_chance().randbytes)
    for _ in range(4096):
        lists.pack(_LIST, 0.0)
    assert lists.unpack(OpaqueDestination(opaque_id), 0.0) is None


def test_a_list_goes_as_it_is_while_all_slots_are_in_use() -> None:
    lists = CompactViaLists(_chance().randbytes, lifetime=15.0)
    kept = [_opaque(lists.pack(_LIST, 0.0)) for _ in range(4096)]
    assert lists.pack(_LIST, 14.0) == _LIST
    assert len(lists) == 4096
    assert all(lists.unpack(opaque, 14.0) == _LIST for opaque in kept)
    assert _opaque(lists.pack(_LIST, 15.0))
    assert len(lists) == 1


def test_slots_are_used_in_turn_and_begin_by_chance() -> None:
    first, second = (CompactViaLists(_chance(seed).randbytes) for seed in (1, 2))
    ids = [int.from_bytes(_opaque(first.pack(_LIST, 0.0)).opaque_id) for _ in range(3)]
    slots = [each >> 3 & 0xFFF for each in ids]
    assert slots == [slots[0], slots[0] + 1, slots[0] + 2]
    assert _opaque(second.pack(_LIST, 0.0)).opaque_id != ids[0].to_bytes(2)
    assert (
        len({each & 7 for each in [int.from_bytes(_opaque(first.pack(_LIST, 0.0)).opaque_id) for _ in range(50)]}) > 1
    )


def test_a_sealed_id_stands_for_its_list_and_shows_nothing_of_it() -> None:
    lists = SealedViaLists(_chance().randbytes)
    opaque = _opaque(lists.pack(_LIST, 0.0))
    assert lists.unpack(opaque, 1e9) == _LIST
    assert node_id(1)[:8] not in opaque.opaque_id
    assert _opaque(lists.pack(_LIST, 0.0)) != opaque


def test_a_sealed_id_cannot_be_made_or_changed_by_others() -> None:
    lists, others = SealedViaLists(_chance(1).randbytes), SealedViaLists(_chance(2).randbytes)
    opaque = _opaque(lists.pack(_LIST, 0.0))
    assert others.unpack(opaque, 0.0) is None
    for at in range(len(opaque.opaque_id)):
        changed = bytearray(opaque.opaque_id)
        changed[at] ^= 1
        assert lists.unpack(OpaqueDestination(bytes(changed)), 0.0) is None
        assert lists.unpack(OpaqueDestination(opaque.opaque_id[:at]), 0.0) is None


def test_a_list_that_is_too_long_for_an_opaque_id_goes_as_it_is() -> None:
    lists = SealedViaLists(_chance().randbytes)
    for count in range(1, 20):
        via_list = (NodeDestination(node_id(1)),) * count
        packed = lists.pack(via_list, 0.0)
        assert (packed == via_list) is (count > 12)
