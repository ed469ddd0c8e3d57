"""Who a node is and what it follows: what its parts share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs

from reload.configuration import Configuration
from reload.configuration_update import InForce
from reload.naming import overlay_hash
from reload.ports import Identity, Signer
from reload.storage_settings import StorageSettings


class Context:
    """One for each node. `epoch` is the Unix time at `now == 0`, `numbers` are for whatever a verb begins."""

    __slots__ = (
        "epoch",
        "identity",
        "in_force",
        "node_id",
        "numbers",
        "overlay",
        "random_bytes",
        "signer",
        "started",
        "storage_settings",
    )

    def __init__(
        self,
        signer: Signer,
        in_force: InForce,
        *,
        epoch: float,
        now: float,
        random_bytes: Callable[[int], bytes],
        storage_settings: StorageSettings,
    ) -> None:
        """It is made at `now`. Raises SecurityError when the own certificate is not one of this overlay."""
        self.signer = signer
        self.node_id = signer.node_id
        self.epoch = epoch
        self.random_bytes = random_bytes
        self.started = now
        self.storage_settings = storage_settings
        self.overlay = overlay_hash(in_force.configuration.instance_name)
        certificates = signer.certificates
        own = in_force.verifier.identify(certificates[0].certificate, certificates, epoch + now)
        self.identity: Identity = attrs.evolve(own, node_id=signer.node_id)
        self.in_force = in_force
        self.numbers = count(1)

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force."""
        return self.in_force.configuration

    @property
    def node_id_length(self) -> int:
        """Octets of a Node-ID in this overlay."""
        return self.in_force.configuration.node_id_length

    def wall(self, now: float) -> float:
        """The Unix time at `now`."""
        return self.epoch + now

    def uptime(self, now: float) -> int:
        """Whole seconds since the node was made."""
        return max(int(now - self.started), 0)

    def milliseconds(self, now: float) -> int:
        """The same as the wire has it, in milliseconds."""
        return round((self.epoch + now) * 1000)

    def transaction_id(self) -> int:
        """A fresh one, by chance."""
        return int.from_bytes(self.random_bytes(8), "big")
