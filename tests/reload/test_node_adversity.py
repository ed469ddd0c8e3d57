"""Nodes among losses, repetitions, disorder, and octets of any kind; and a run that is repeated exactly."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_bystander import Bench, Bystander, bench, me, null_signer
from reload_configurations import PRIVATE
from reload_identities import node_id
from reload_overlay import MemoryOverlay, chain, in_force, mesh, node
from reload_strategies import destinations

from reload._presentation import encode
from reload.chord import ChordReload
from reload.contents import ErrorResponse, MessageCode, MessageExtension
from reload.errors import EncodeError
from reload.exchange import Response
from reload.header import ForwardingOption
from reload.message import BODIES
from reload.methods import AttachReqAns, ChordNeighbors, ChordUpdate, JoinReq, PingReq
from reload.naming import resource_id
from reload.operations import Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.storage_messages import DataValue, SingleSpecifier
from reload.via_lists import CompactViaLists, SealedViaLists

_NUMBERS = (1, 1 << 126, 2 << 126, 3 << 126)
_WHERE = resource_id(b"user1@example.org")


# Links that are bad.


@pytest.mark.parametrize("seed", range(6))
def test_operations_complete_over_links_that_lose_repeat_and_reorder(seed: int) -> None:
    overlay, hosts = chain(*_NUMBERS, seed=seed, loss=0.15, repeat=0.2, disorder=0.3)
    handles = []
    for number in range(8):
        value = DataValue(True, bytes([number]))
        handles.append(hosts[0].node.perform(Store(_WHERE, (NewValue(PRIVATE.id, value, 500),)), overlay.now))
        overlay.settle(15)
    results = [hosts[0].result(handle) for handle in handles]
    stored = [result for result in results if isinstance(result, Stored)]
    assert len(stored) >= 6
    # Each Store was done once, whatever came twice: the generation counts those that have changed something.
    assert [result.generations[PRIVATE.id] for result in stored] == sorted(
        {result.generations[PRIVATE.id] for result in stored}
    )
    assert stored[-1].generations[PRIVATE.id] <= 8
    overlay.loss = 0.0
    handle = hosts[3].node.perform(Fetch(_WHERE, (Wanted(PRIVATE.id, SingleSpecifier()),)), overlay.now)
    overlay.settle(15)
    assert isinstance(hosts[3].result(handle), Fetched)


@pytest.mark.parametrize("seed", range(4))
def test_long_messages_get_through_as_fragments_that_are_lost_and_out_of_order(seed: int) -> None:
    overlay = MemoryOverlay(seed=seed, loss=0.15, repeat=0.2, disorder=0.3)
    hosts = [overlay.add(number) for number in _NUMBERS[:3]]
    for host in hosts:
        host.topology.is_joined = True
        host.topology.peers = [each.node_id for each in hosts]
    overlay.link(hosts[0], hosts[1], path_mtu=1000)
    overlay.link(hosts[1], hosts[2], path_mtu=800)
    handles = []
    for _ in range(6):
        handles.append(hosts[0].node.ping([node(_NUMBERS[1]), node(_NUMBERS[2])], overlay.now, padding=bytes(3000)))
        overlay.settle(15)
    assert max(len(octets) for *_, octets in overlay.sent) <= 1000
    assert sum(isinstance(hosts[0].result(handle), Response) for handle in handles) >= 4


@pytest.mark.parametrize("seed", range(3))
def test_a_ring_forms_over_bad_links(seed: int) -> None:
    overlay = MemoryOverlay(seed=seed, loss=0.05, repeat=0.1, disorder=0.2)
    chance = random.Random(seed)
    hosts = [overlay.add(chance.getrandbits(126) + 1, make_topology=ChordReload) for _ in range(6)]
    hosts[0].node.start(overlay.now)
    for host in hosts[1:]:
        link, _ = overlay.link(host, hosts[0])
        host.node.join(link, overlay.now)
        overlay.settle(60)
    overlay.settle(60)
    assert all(host.node.topology.is_joined for host in hosts)
    overlay.loss = 0.0
    handles = [host.node.ping([node(hosts[3].number)], overlay.now) for host in hosts]
    overlay.settle(16)
    assert all(isinstance(host.result(handle), Response) for host, handle in zip(hosts, handles, strict=True))


# The same again.


def _run(seed: int) -> list[tuple[float, int, int, bytes]]:
    overlay = MemoryOverlay(seed=seed, loss=0.1, repeat=0.1, disorder=0.2)
    chance = random.Random(seed)
    hosts = [overlay.add(chance.getrandbits(126) + 1, make_topology=ChordReload) for _ in range(5)]
    hosts[0].node.start(overlay.now)
    for host in hosts[1:]:
        link, _ = overlay.link(host, hosts[0])
        host.node.join(link, overlay.now)
        overlay.settle(30)
    where = resource_id(f"user{hosts[1].number}@example.org".encode())
    value = DataValue(True, b"value")
    hosts[1].node.perform(Store(where, (NewValue(PRIVATE.id, value, 500),)), overlay.now)
    overlay.settle(100)
    hosts[2].node.leave(overlay.now)
    overlay.settle(700)
    return overlay.sent


def test_the_same_seed_gives_the_same_octets_at_the_same_time() -> None:
    first, second, other = _run(1), _run(1), _run(2)
    assert len(first) > 100
    assert first == second
    assert first != other


# Octets of any kind.


def _states() -> list[tuple[Bench, Bystander, Bystander]]:
    """Nodes in several states, with neighbors."""
    found = []
    for options in (
        {},
        {"is_joined": False},
        {"is_client": True},
        {"make_topology": ChordReload, "is_joined": False},
        {"via_lists": CompactViaLists(random.Random(1).randbytes)},
        {"via_lists": SealedViaLists(random.Random(1).randbytes)},
        {"in_force": in_force(max_message_size=700)},
    ):
        made, (one, other) = bench(10, 200, **options)
        found.append((made, one, other))
    made, (one, other) = bench(10, 200, make_topology=ChordReload, is_joined=False)
    made.node.start(made.now)
    found.append((made, one, other))
    made, (one, other) = bench(10, 200, make_topology=ChordReload, is_joined=False)
    made.node.join(one.link, made.now)
    found.append((made, one, other))
    made, (one, other) = bench(10, 200)
    made.node.ping([me()], made.now)
    made.node.attach([node(10)], made.now)
    found.append((made, one, other))
    made, (one, other) = bench(10, 200)
    made.node.leave(made.now)
    found.append((made, one, other))
    return found


_STATES = range(len(_states()))


@given(st.sampled_from(_STATES), st.lists(st.binary(max_size=900), max_size=3))
def test_octets_of_any_kind_raise_nothing(state: int, octets: list[bytes]) -> None:
    made, one, _ = _states()[state]
    for each in octets:
        one.bench.node.receive_message(one.link, each, made.now)
    made.advance(20)


@st.composite
def _messages(draw: Any) -> dict[str, Any]:
    """Well-formed headers of every kind around bodies of every kind."""
    code = draw(st.one_of(st.sampled_from(sorted(BODIES)), st.integers(0, 0xFFFF)))
    destination = st.one_of(st.sampled_from([me(), node(10), node(200)]), destinations(16))
    return {
        "code": code,
        "body": draw(st.one_of(st.binary(max_size=40), st.sampled_from(_BODIES))),
        "destination_list": tuple(draw(st.lists(destination, max_size=3))),
        "via_list": tuple(draw(st.lists(destination, max_size=2))),
        "ttl": draw(st.sampled_from([0, 1, 99, 100, 101, 255])),
        "options": tuple(
            draw(st.lists(st.builds(ForwardingOption, st.integers(1, 4), st.integers(0, 255), st.binary(max_size=30))))
        ),
        "configuration_sequence": draw(st.sampled_from([0, 21, 22, 23, 65534, 65535])),
        "max_response_length": draw(st.sampled_from([0, 1, 150, 5000])),
        "fragment": draw(st.sampled_from([0xC0000000, 0x80000000, 0x80000100, 0xC0000100, 0xC0FFFFFF])),
        "extensions": tuple(
            draw(st.lists(st.builds(MessageExtension, st.integers(1, 4), st.booleans(), st.binary(max_size=9))))
        ),
        "transaction": draw(st.integers(0, 3)),
    }


_BODIES = [
    encode(body)
    for body in (
        PingReq(),
        JoinReq(node_id(10)),
        ChordUpdate(0, 1),
        ChordUpdate(0, 2, ChordNeighbors((node_id(10),), (node_id(200), node_id(5)))),
        AttachReqAns(b"", b"", b"passive", (), True),
        ErrorResponse(0xF),
    )
]


@given(st.sampled_from(_STATES), st.lists(_messages(), min_size=1, max_size=4), st.booleans())
def test_signed_messages_of_any_kind_raise_nothing(state: int, messages: list[dict[str, Any]], theirs: bool) -> None:
    made, one, _ = _states()[state]
    for fields in messages:
        given_fields = dict(fields)
        code, body = given_fields.pop("code"), given_fields.pop("body")
        destination_list = given_fields.pop("destination_list")
        if not theirs:
            given_fields["signer"] = null_signer(33)
        try:
            octets = one.octets(code, body, *destination_list, **given_fields)
        except EncodeError:
            continue  # a Resource-ID that is not the last
        made.node.receive_message(one.link, octets, made.now)
        made.collect()
    made.advance(20)


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(_STATES))
def test_a_message_with_any_octet_changed_raises_nothing(index: int, octet: int, state: int) -> None:
    made, one, _ = _states()[state]
    octets = bytearray(one.octets(MessageCode.JOIN_REQ, JoinReq(node_id(10))))
    octets[index % len(octets)] = octet
    made.node.receive_message(one.link, bytes(octets), made.now)
    made.node.receive_message(one.link, bytes(octets[: index % len(octets)]), made.now)
    made.advance(20)


@given(st.lists(st.tuples(st.sampled_from(_STATES), st.floats(0, 100)), max_size=4))
def test_early_late_and_repeated_timers_are_harmless(calls: list[tuple[int, float]]) -> None:
    for state, later in calls:
        made, _, _ = _states()[state]
        for now in (made.now, made.now + later, made.now + later, made.now):
            made.node.handle_timer(now)
            made.collect()


def test_a_node_holds_nothing_for_what_was_dropped() -> None:
    made, (one, _) = bench(10, 200)
    for number in range(300):
        one.send(MessageCode.PING_ANS, b"", transaction=number)
        one.send(MessageCode.PING_REQ, b"\xff\xff", node(77), transaction=number)
    assert len(made.node._parts.requester) == 0
    made.advance(20)
    assert made.node.get_timer() is None or made.node.get_timer() > made.now + 100


def test_several_nodes_of_a_mesh_have_nothing_to_do_when_all_is_done() -> None:
    overlay, hosts = mesh(*_NUMBERS)
    for host in hosts:
        host.node.ping([node(1)], overlay.now)
    overlay.settle(5)
    for host in hosts:
        timer = host.node.get_timer()
        assert timer is None or timer > overlay.now + 100
