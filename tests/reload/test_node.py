"""Nodes with each other: messages find their way, and operations come to an end."""

from reload_configurations import PRIVATE
from reload_identities import node_id
from reload_overlay import EPOCH, chain, mesh, node

from reload.exchange import Response
from reload.methods import PingAns
from reload.naming import resource_id
from reload.operations import Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.storage_messages import DataValue, SingleSpecifier


def test_a_ping_is_answered_across_peers_in_a_line() -> None:
    overlay, hosts = chain(1, 2, 3, 4)
    handle = hosts[0].node.ping([node(4)], overlay.now)
    overlay.settle()
    response = hosts[0].result(handle)
    assert isinstance(response, Response)
    assert response.identity.node_id == node_id(4)
    assert isinstance(response.body, PingAns)
    assert response.body.time == round((EPOCH + overlay.now - 0.97) * 1000)
    assert [host.drops for host in hosts] == [[], [], [], []]


def test_values_are_stored_and_fetched_between_nodes() -> None:
    overlay, hosts = mesh(1, 1 << 126, 2 << 126, 3 << 126)
    where = resource_id(b"user1@example.org")
    value = DataValue(True, b"hello")
    handle = hosts[0].node.perform(Store(where, (NewValue(PRIVATE.id, value, 100),)), overlay.now)
    overlay.settle()
    stored = hosts[0].result(handle)
    assert isinstance(stored, Stored), stored
    handle = hosts[3].node.perform(Fetch(where, (Wanted(PRIVATE.id, SingleSpecifier()),)), overlay.now)
    overlay.settle()
    fetched = hosts[3].result(handle)
    assert isinstance(fetched, Fetched), fetched
    (found,) = fetched.kinds[PRIVATE.id].values
    assert found.data.value == value
    assert found.identity is not None
    assert found.identity.node_id == node_id(1)
