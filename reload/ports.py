"""What this package asks of whoever signs and verifies (RFC 6940 section 6.3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from reload.security_block import GenericCertificate, Signature


@attrs.frozen
class Identity:
    """Who has signed, shown by a certificate that was verified.

    `node_id` is the Node-ID that the signature is made with, `node_ids` all those of the certificate, in its order.
    `certificate` is its DER, `issuers` those between it and a root-cert, from below: whoever passes a value on passes
    them on with it.
    """

    node_id: bytes
    node_ids: tuple[bytes, ...]
    user_name: str | None
    certificate: bytes
    issuers: tuple[bytes, ...] = attrs.field(default=(), eq=False, repr=False)


class Signer(Protocol):
    """Signs with one key for one Node-ID."""

    @property
    def node_id(self) -> bytes:
        """The Node-ID that signatures are made with."""
        ...

    @property
    def certificates(self) -> tuple[GenericCertificate, ...]:
        """The own certificate first, then those between it and a root-cert, if any."""
        ...

    def sign(self, octets: bytes, *, covers_identity: bool = True) -> Signature:
        """A signature over `octets` and the SignerIdentity behind them; over `octets` alone in a configuration."""
        ...


class Verifier(Protocol):
    """Knows whom the overlay trusts."""

    def verify(
        self,
        signature: Signature,
        octets: bytes,
        certificates: Sequence[GenericCertificate],
        wall: float,
        *,
        covers_identity: bool = True,
    ) -> Identity:
        """Who has signed `octets`. `wall` is the Unix time now, at which the certificate must be valid.

        Raises SecurityError when the signature or the certificate fails.
        """
        ...

    def identify(self, certificate: bytes, certificates: Sequence[GenericCertificate], wall: float) -> Identity:
        """Who may show this certificate, DER, as on a (D)TLS connection; `node_id` is its first Node-ID.

        Raises SecurityError when it is not valid in this overlay.
        """
        ...
