"""How much a node holds for others, and for each of them (RFC 6940 section 13.5.2)."""

from __future__ import annotations

import attrs

FAIR_SHARE = 8
"""A signer may have an eighth of what is still free."""


@attrs.frozen
class Quotas:
    """The limits of one node, beyond those of each Kind: octets, with what goes with values, and resources.

    A store must not be filled by one signer, who can find Resource-IDs without end where a policy lets it choose a
    name, as NODE-ID-MATCH does. What a signer may have shrinks with what is free: there is room for another always. A
    replica is let in as long as its signer has no more than what is free: the responsible peer has judged before, and
    should find the same answer at most of its replicas.
    """

    max_octets: int = 64 << 20
    max_resources: int = 65_536

    def share(self, free: int, *, is_replica: bool) -> int:
        """Octets that one signer may have while so many are free."""
        return free if is_replica else free // FAIR_SHARE
