"""A registration as JSON, the way trackers that share a store write it for one another."""

from __future__ import annotations

import json
from typing import Any

from attrs import astuple

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


def write(peer: RegisteredPeer) -> tuple[bytes, bytes]:
    """What others' lists need of a peer, and the rest: its swarms, whose IDs may be long; equal for equal peers."""
    listed = {
        "peer_id": peer.peer_id,
        "number": peer.number,
        "connect_time": peer.connect_time,
        "peer_addr": [astuple(address) for address in peer.peer_addr],
        "announced": peer.announced,
        "holder": peer.holder,
        "host": peer.host,
        "source": peer.source,
        "properties": peer.properties and astuple(peer.properties),
    }
    swarms = {
        swarm_id: [membership.peer_mode, membership.stat and astuple(membership.stat)[1:]]
        for swarm_id, membership in peer.swarms.items()
    }
    return _json(listed), _json({"swarms": swarms, "changes": peer.changes})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read(listed: bytes, rest: bytes | None = None) -> RegisteredPeer:
    """The peer that `write` has written, without its swarms where the rest is not given.

    A tracker writes only peers in the state TRACKING.
    """
    found = json.loads(listed)
    more: dict[str, Any] = json.loads(rest) if rest is not None else {"swarms": {}, "changes": 0}
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
            for swarm_id, (mode, stat) in more["swarms"].items()
        },
        more["changes"],
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
