"""The octets that each node of the policy tree holds, shared by servers on several machines."""

from __future__ import annotations

from collections.abc import Sequence

from decade.errors import OutdatedError
from decade.ports import Charge, Holding, NodePath
from interop.decade_scale._engine import Engine
from interop.decade_scale._lease import Lease
from interop.decade_scale._rows import node_of


class RedisQuotas:
    """The `decade.ports.Quotas` of servers that share a Redis.

    What is stored changes with the rows of the objects, in one script: there a reservation of this worker becomes what
    is stored. What a worker that has died has reserved is free when its lease is over.
    """

    waits = True

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease

    def holding(self, path: NodePath) -> Holding:
        """What a node holds; nothing if it is not known. Raises StoreError."""
        found = self._engine.ask("HMGET", f"holding:{node_of(path)}", "stored", "reserved", "objects")
        return Holding(*(int(number or 0) for number in found))

    def reserve(self, charges: Sequence[Charge], octets: int) -> tuple[Charge, Holding] | None:
        """Reserve at every node or, when one has no room, at none: then the first such node, and what it holds.

        Raises StoreError, OutdatedError, with nothing reserved.
        """
        nodes = tuple(node_of(charge.path) for charge in charges)
        numbers = [(charge.limit, charge.version) for charge in charges]
        bounds = ["" if number is None else number for pair in numbers for number in pair]
        reply = self._lease.reserve(nodes, bounds, octets)
        if reply[0] == b"done":
            return None
        if reply[0] == b"outdated":
            raise OutdatedError("the policies of the account have changed")
        return charges[reply[1]], Holding(*(int(number) for number in reply[2:]))

    def commit(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets became stored with the row of the object."""

    def release(self, paths: Sequence[NodePath], octets: int) -> None:
        """What was reserved is free again. Raises StateError if it was not reserved."""
        self._lease.release(tuple(node_of(path) for path in paths), octets)

    def drop(self, paths: Sequence[NodePath], octets: int) -> None:
        """Nothing is left to do: the octets went with the row of the object."""
