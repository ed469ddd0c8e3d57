"""Objects that anybody may read, or who has an address in certain networks (RFC 7069 section 7, RFC 6392 section 3.4).

An account decides it, by the policy of its node or of an application's: an object is as public as the node that pays
for it. The nearest node that says something decides, and no node is more open than one above it allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import attrs

from decade.messages import Access, ResourcePolicy
from decade.names import Name
from decade.objects import Objects
from decade.policy import PolicyTree, parents
from decade.ports import NodePath, Row
from decade.values import IpPrefix

MAX_ASKED = 64
"""Accounts with public nodes that are each asked for an object: so the time tells nothing of who else has it. Of more
of them the holders of the object are looked through.
"""
MAX_HOLDERS = 1024
"""Accounts with the same object that are looked through then, those that have had it longest."""


@attrs.frozen
class Openness:
    """Who may read what a node pays for. `prefixes`: of each node that has some, all of which must have the address."""

    access: Access
    prefixes: tuple[tuple[IpPrefix, ...], ...] = ()

    def is_for(self, peer: str) -> bool:
        """Whether a client at this address may read without a token; "" is the address of nobody."""
        if self.access is Access.PUBLIC_RESTRICTED:
            return all(_contains(prefixes, peer) for prefixes in self.prefixes)
        return self.access is Access.PUBLIC


def openness(tree: PolicyTree, path: NodePath) -> Openness:
    """Who may read what a node pays for. What the provider says is a bound; only accounts make anything public."""
    policies = [policy for node in (*parents(path), path) if (policy := tree.policy(node)) is not None]
    own = [policy.access for policy in policies[1:] if policy.access is not None]
    if len(policies) != len(path) + 1 or not own:
        return Openness(Access.PRIVATE)
    bounds = [policy.access for policy in policies if policy.access is not None]
    access = min(bounds)
    if access is not Access.PUBLIC_RESTRICTED:
        return Openness(access)
    return Openness(access, tuple(p.prefixes or () for p in policies if p.access is Access.PUBLIC_RESTRICTED))


class OpenAccounts:
    """The accounts that have a node which is not private by its own policy."""

    def __init__(self, tree: PolicyTree) -> None:
        """It follows the changes of the tree."""
        self._nodes: set[NodePath] = set()
        self.names: frozenset[str] = frozenset()
        tree.listen(self._change)

    def rows(self, objects: Objects, name: Name, wall: int) -> list[Row]:
        """The rows of an object that these accounts have, those that came first. Raises StoreError."""
        if len(self.names) <= MAX_ASKED:
            asked = (objects.find(account, name, wall) for account in self.names)
            rows = [row for row in asked if row is not None]
        else:
            rows = [row for row in objects.holders(name, MAX_HOLDERS) if row.account in self.names]
        return sorted(rows, key=lambda row: (row.created, row.account))

    def _change(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        self._nodes.discard(path)
        if path and policy is not None and policy.access:
            self._nodes.add(path)
        self.names = frozenset(node[0] for node in self._nodes)


def choose(rows: Iterable[Row], tree: PolicyTree, peer: str, wall: int) -> tuple[Row, Openness] | None:
    """The row that a client without a token is served, whose node pays: of those it may read, that of the account that
    has had the object longest. None if there is none. `rows`: in that order.
    """
    for row in rows:
        if not row.is_expired(wall):
            found = openness(tree, row.payer)
            if found.is_for(peer):
                return row, found
    return None


def _contains(prefixes: tuple[IpPrefix, ...], peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # A socket for both families shows an IPv4 client so.
        address = address.ipv4_mapped
    return any(address in prefix for prefix in prefixes)
