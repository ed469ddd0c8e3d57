"""Policies that accounts put for their applications, shared by servers on several machines."""

from __future__ import annotations

import json
from collections.abc import Mapping

from decade.messages import ResourcePolicy, decode_message, encode_message
from decade.ports import Holding, NodePath, PutPolicy
from interop.decade_scale._engine import Argument, Engine
from interop.decade_scale._rows import node_of


class RedisPolicies:
    """The `decade.ports.Policies` of servers that share a Redis, beside `RedisQuotas`."""

    waits = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, path: NodePath, policy: ResourcePolicy | None, over: ResourcePolicy | None) -> Holding | None:
        """Keep what an account has put, unless the node holds too much: then what it holds. Raises StoreError:
        UnsureError if it may be kept.
        """
        most: Argument = 0
        if policy is not None:
            most = "" if policy.storage is None else policy.storage
        reply = self._engine.run("put_policy", node_of(path), _written(policy), _written(over), most)
        return None if reply is None else Holding(*reply)

    def load(self, known: Mapping[NodePath, PutPolicy]) -> dict[NodePath, PutPolicy]:
        """All that is kept; what is known in the same version is not decoded again. Raises StoreError."""
        found = {}
        for node, policy, over, version in self._engine.run("policies"):
            path = tuple(json.loads(node))
            put = known.get(path)
            if put is None or put.version != int(version):
                put = PutPolicy(_read(policy), _read(over), int(version))
            found[path] = put
        return found

    def version(self) -> int:
        """Another number after each `save`, of whatever server. Raises StoreError."""
        return int(self._engine.ask("GET", "policies") or 0)


def _written(policy: ResourcePolicy | None) -> bytes:
    return b"" if policy is None else encode_message(policy)


def _read(message: bytes) -> ResourcePolicy | None:
    if not message:
        return None
    policy = decode_message(message)
    assert isinstance(policy, ResourcePolicy)
    return policy
