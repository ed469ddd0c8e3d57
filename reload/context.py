"""Who a node is and what it follows: what its parts share."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from reload.configuration import Configuration
from reload.configuration_update import InForce
from reload.naming import overlay_hash
from reload.ports import Identity, Signer

HANDLES = 1 << 31
"""Handles count up to this and begin again."""


class Context:
    """One for each node. `epoch` is the Unix time at `now == 0`."""

    __slots__ = ("_handle", "_in_force", "epoch", "identity", "is_client", "node_id", "overlay", "random_bytes", "signer")

    def __init__(
        self,
        signer: Signer,
        in_force: InForce,
        *,
        epoch: float,
        random_bytes: Callable[[int], bytes],
        is_client: bool = False,
    ) -> None:
        """Raises SecurityError when the own certificate is not one of this overlay."""
        self.signer = signer
        self.node_id = signer.node_id
        self.epoch = epoch
        self.random_bytes = random_bytes
        self.is_client = is_client
        self.overlay = overlay_hash(in_force.configuration.instance_name)
        certificates = signer.certificates
        own = in_force.verifier.identify(certificates[0].certificate, certificates, epoch)
        self.identity: Identity = attrs.evolve(own, node_id=signer.node_id)
        self._in_force = in_force
        self._handle = 0

    @property
    def in_force(self) -> InForce:
        """What the node follows."""
        return self._in_force

    @in_force.setter
    def in_force(self, in_force: InForce) -> None:
        self._in_force = in_force

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force."""
        return self._in_force.configuration

    @property
    def node_id_length(self) -> int:
        """Octets of a Node-ID in this overlay."""
        return self._in_force.configuration.node_id_length

    def wall(self, now: float) -> float:
        """The Unix time at `now`."""
        return self.epoch + now

    def milliseconds(self, now: float) -> int:
        """The same as the wire has it, in milliseconds."""
        return round((self.epoch + now) * 1000)

    def transaction_id(self) -> int:
        """A fresh one, by chance."""
        return int.from_bytes(self.random_bytes(8), "big")

    def handle(self) -> int:
        """The next number for what a verb begins."""
        self._handle = self._handle % HANDLES + 1
        return self._handle
