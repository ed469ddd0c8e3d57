"""Objects that anybody may read, or who has an address in certain networks (RFC 7069 section 7, RFC 6392 section 3.4).

An account decides it, by the policy of its node or of an application's: an object is as public as the node that pays
for it. The nearest node that says something decides, and no node is more open than one above it allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import attrs

from decade.messages import Access
from decade.policy import PolicyTree, parents
from decade.ports import NodePath, Row
from decade.values import IpPrefix

MAX_HOLDERS = 64
"""Accounts with the same object that are asked whether it is public, those that have had it longest."""


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
