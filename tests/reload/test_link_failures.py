"""Links that bring no acknowledgements for a while, as a node sees them (RFC 6940 sections 6.6 and 6.6.3.1)."""

import pytest
from reload_identities import node_id
from reload_overlay import Host, MemoryOverlay, mesh, node

from reload.contents import MessageCode
from reload.exchange import Response


class Watch:
    """What the topology of a node is told."""

    def __init__(self, host: Host) -> None:
        self.told: list[tuple[str, bytes]] = []
        topology = host.topology
        connected, disconnected = topology.on_connected, topology.on_disconnected

        def on_connected(peer: bytes, now: float, *, send_update: bool) -> None:
            self.told.append(("connected, send an Update" if send_update else "connected", peer))
            connected(peer, now, send_update=send_update)

        def on_disconnected(peer: bytes, now: float) -> None:
            self.told.append(("disconnected", peer))
            disconnected(peer, now)

        topology.on_connected = on_connected  # type: ignore[method-assign]
        topology.on_disconnected = on_disconnected  # type: ignore[method-assign]


def attached() -> tuple[MemoryOverlay, Host, Host]:
    """Two nodes with a link by an Attach."""
    overlay, (one, other) = mesh(1, 2)
    for link in list(one.wires):
        overlay.cut(one, link)
    overlay.link(one, other)
    one.topology.peers = other.topology.peers = [one.node_id, other.node_id]
    one.node.attach([node(2)], overlay.now)
    overlay.settle(30.0)
    assert len(one.wires) == 1
    return overlay, one, other


def test_a_failing_link_is_out_of_the_topology_and_comes_back() -> None:
    overlay, one, _ = attached()
    watch = Watch(one)
    (link,) = one.wires
    for _ in range(2):
        one.node.link_failing(link, overlay.now)
    assert watch.told == [("disconnected", node_id(2))]
    for _ in range(2):
        one.node.link_restored(link, overlay.now)
    assert watch.told[1:] == [("connected, send an Update", node_id(2))]
    overlay.settle()
    handle = one.node.ping([node(2)], overlay.now)
    overlay.settle()
    assert isinstance(one.result(handle), Response)


def test_an_update_goes_over_a_link_that_is_restored() -> None:
    overlay, one, other = attached()
    (link,) = one.wires
    one.node.link_failing(link, overlay.now)
    one.node.link_restored(link, overlay.now)
    overlay.settle()
    assert [request.message_code for request in other.topology.requests] == [MessageCode.UPDATE_REQ]


def test_a_failing_link_that_is_lost_is_not_lost_twice() -> None:
    overlay, one, _ = attached()
    watch = Watch(one)
    (link,) = one.wires
    one.node.link_failing(link, overlay.now)
    one.node.link_lost(link, overlay.now)
    assert watch.told == [("disconnected", node_id(2))]


def test_another_link_that_works_takes_the_place_of_a_failing_one() -> None:
    overlay, one, other = attached()
    second, _ = overlay.link(one, other)
    watch = Watch(one)
    one.node.link_failing(second, overlay.now)
    assert watch.told == []
    one.node.ping([node(2)], overlay.now)
    used = {link for link, _ in one.node.messages_to_send(overlay.now)}
    assert used
    assert second not in used
    one.node.link_lost(second, overlay.now)
    assert watch.told == []


def test_with_all_links_failing_the_node_is_lost_and_with_one_restored_it_is_there() -> None:
    overlay, one, other = attached()
    (first,) = one.wires
    second, _ = overlay.link(one, other)
    watch = Watch(one)
    for link in (first, second):
        one.node.link_failing(link, overlay.now)
    assert watch.told == [("disconnected", node_id(2))]
    # The last one that is left is failing still: nothing new.
    one.node.link_lost(second, overlay.now)
    one.node.link_restored(first, overlay.now)
    assert watch.told[1:] == [("connected, send an Update", node_id(2))]


@pytest.mark.parametrize("verb", ["link_failing", "link_restored"])
def test_of_links_that_are_gone_or_well_nothing_happens(verb: str) -> None:
    overlay, one, _ = attached()
    watch = Watch(one)
    getattr(one.node, verb)(999, overlay.now)
    if verb == "link_restored":
        (link,) = one.wires
        one.node.link_restored(link, overlay.now)
    assert watch.told == []
