"""Nodes with each other: messages find their way, and operations come to an end."""

import reload_configurations
from reload_configurations import PRIVATE
from reload_identities import ALICE, enrolled, node_id
from reload_overlay import EPOCH, MemoryOverlay, chain, connect_all, mesh, node

from reload.contents import MessageCode
from reload.exchange import Response
from reload.message import decode_message
from reload.methods import PingAns
from reload.naming import resource_id
from reload.operations import Fetch, Fetched, NewValue, Store, Stored, Wanted
from reload.signing import verify_message
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


def test_real_signatures_hold_between_nodes_and_fetched_values_bring_the_certificates_of_their_signers() -> None:
    overlay = MemoryOverlay(in_force=reload_configurations.in_force([PRIVATE], no_ice=True))
    hosts = [overlay.add(number, signer=enrolled(number)) for number in (1, 1 << 126, 3 << 126)]
    connect_all(overlay, hosts)
    where = resource_id(ALICE.encode())
    value = DataValue(True, b"signed")
    handle = hosts[0].node.perform(Store(where, (NewValue(PRIVATE.id, value, 100),)), overlay.now)
    overlay.settle()
    assert isinstance(hosts[0].result(handle), Stored)
    handle = hosts[2].node.perform(Fetch(where, (Wanted(PRIVATE.id, SingleSpecifier()),)), overlay.now)
    overlay.settle()
    fetched = hosts[2].result(handle)
    assert isinstance(fetched, Fetched), fetched
    (found,) = fetched.kinds[PRIVATE.id].values
    assert found.identity is not None
    assert found.identity.node_id == node_id(1)
    for *_, octets in overlay.sent:
        message = decode_message(octets)
        verify_message(message, hosts[0].node.in_force.verifier, EPOCH + overlay.now)
        certificates = [each.certificate for each in message.security_block.certificates]
        own = 1 if message.contents.message_code != MessageCode.FETCH_ANS else 2
        assert len(set(certificates)) == len(certificates) == own


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
