"""Peer address exchange (RFC 7574 sections 3.10, 8.13 and 12.2): what an application decides about it."""

import attrs

from ppsp.constants import MessageType
from ppsp.membership import MembershipVerifier
from ppsp.metadata import SwarmMetadata


@attrs.frozen
class PeerExchange:
    """How a swarm's peers tell each other of peers; as it stands, not at all.

    With `addresses`, by plain addresses: in benign networks only, since anybody can name anybody (section 3.10.1). With
    a `verifier`, by membership certificates of its issuer, of which `certificate` is our own, to be passed on.
    """

    addresses: bool = False
    verifier: MembershipVerifier | None = None
    certificate: bytes | None = None

    @classmethod
    def of(cls, metadata: SwarmMetadata, certificate: bytes | None = None) -> "PeerExchange":
        """As the swarm's metadata have it: by certificates where they name an issuer, else by plain addresses.

        Raises MembershipError when the issuer's key is none.
        """
        if metadata.membership_key is None:
            return cls(addresses=True)
        return cls(verifier=MembershipVerifier(metadata.membership_key), certificate=certificate)

    @property
    def messages(self) -> frozenset[MessageType]:
        """The messages that this takes, for option 8 (section 7.10)."""
        found = set()
        if self.addresses:
            found |= {MessageType.PEX_REQ, MessageType.PEX_RESV4, MessageType.PEX_RESV6}
        if self.verifier is not None:
            found |= {MessageType.PEX_REQ, MessageType.PEX_RESCERT}
        return frozenset(found)
