"""A registration as JSON, the way trackers that share a store write it for one another."""

from __future__ import annotations

import json
from typing import Any

from attrs import astuple, evolve

from ppsp.tracker import (
    AbilityNat,
    AddressType,
    Connection,
    Membership,
    PeerAddr,
    PeerMode,
    PeerNum,
    PeerState,
    RegisteredPeer,
    StreamStats,
)


def write(peer: RegisteredPeer) -> str:
    """The record of a peer; equal for equal peers."""
    return json.dumps(
        {
            "peer_id": peer.peer_id,
            "number": peer.number,
            "connect_time": peer.connect_time,
            "peer_addr": [astuple(address) for address in peer.peer_addr],
            "announced": peer.announced,
            "holder": peer.holder,
            "host": peer.host,
            "source": peer.source,
            "properties": peer.properties and astuple(peer.properties),
            "swarms": {
                swarm_id: [membership.peer_mode, membership.stat and astuple(membership.stat)[1:]]
                for swarm_id, membership in peer.swarms.items()
            },
            "changes": peer.changes,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def write_listed(peer: RegisteredPeer) -> str:
    """What others' lists need of a peer: without its swarms, whose IDs may be many octets."""
    return write(evolve(peer, swarms={}, changes=0))


def read(record: bytes) -> RegisteredPeer:
    """The peer of a record of `write` or `write_listed`. A tracker writes only peers in the state TRACKING."""
    found = json.loads(record)
    return RegisteredPeer(
        found["peer_id"],
        found["number"],
        found["connect_time"],
        PeerState.TRACKING,
        tuple(map(_address, found["peer_addr"])),
        found["announced"],
        found["holder"],
        found["host"],
        found["source"],
        _properties(found["properties"]),
        {
            swarm_id: Membership(PeerMode(mode), stat and StreamStats(swarm_id, *stat))
            for swarm_id, (mode, stat) in found["swarms"].items()
        },
        found["changes"],
    )


def _address(fields: list[Any]) -> PeerAddr:
    address, port, priority, kind, connection, asn, peer_protocol = fields
    return PeerAddr(
        address, port, priority, AddressType(kind), connection and Connection(connection), asn, peer_protocol
    )


def _properties(fields: list[Any] | None) -> PeerNum | None:
    if fields is None:
        return None
    peer_count, ability_nat, *numbers = fields
    return PeerNum(peer_count, ability_nat and AbilityNat(ability_nat), *numbers)
