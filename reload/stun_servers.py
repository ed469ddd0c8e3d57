"""Which connected peers serve as STUN servers when candidates are gathered (RFC 6940 section 6.5.1.4)."""

from __future__ import annotations

import attrs

from reload.addresses import IpAddressPort

MAX_SERVERS = 8
"""Servers to gather with at a time: nobody is behind so many NATs, but any peer may make a group by what it tells."""


@attrs.frozen
class _Peer:
    server: IpAddressPort
    group: object


class StunServers:
    """Learns from the driver through whom this node sees itself at which address, and offers one peer for each.

    Peers that show the same address are behind the same NATs as seen from here: one of them is enough.
    """

    def __init__(self) -> None:
        self._peers: dict[bytes, _Peer] = {}
        self._groups: dict[object, list[bytes]] = {}

    def learn(self, peer: bytes, server: IpAddressPort, reflexive: IpAddressPort) -> None:
        """A connected peer, whose STUN server is at `server`, sees this node at the address `reflexive`.

        The port does not count: NATs give another one to each connection.
        """
        self.lost(peer)
        group = getattr(reflexive.addr_port, "addr", reflexive.addr_port)
        self._peers[peer] = _Peer(server, group)
        self._groups.setdefault(group, []).append(peer)

    def lost(self, peer: bytes) -> None:
        """There is no connection to this peer any more: another one of its group takes its place, if there is one."""
        known = self._peers.pop(peer, None)
        if known is not None:
            members = self._groups[known.group]
            members.remove(peer)
            if not members:
                del self._groups[known.group]

    def servers(self) -> tuple[IpAddressPort, ...]:
        """One of each group: the one that was learned first and is still connected."""
        chosen = [self._peers[members[0]].server for members in self._groups.values()]
        return tuple(chosen[:MAX_SERVERS])
