"""Signatures that show nothing, for simulations of very many nodes only: never give these to a node on a network.

A `NullSigner` writes a hash where a signature belongs, so that a `NullVerifier` notices octets that were changed by
mistake. Anybody can make it. Its algorithm is one for private use, which no other `Verifier` accepts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from reload._presentation import encode
from reload.errors import SecurityError
from reload.ports import Identity
from reload.security_block import (
    CertificateHash,
    GenericCertificate,
    HashAlgorithm,
    Signature,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)

NULL_SIGNATURE = 0xE0
"""SignatureAlgorithm, of the range for private use."""
NULL_CERTIFICATE = 0xE0
"""CertificateType, of the range for private use; the certificate is a Node-ID behind its length, and a user name."""
_ALGORITHM = SignatureAndHashAlgorithm(HashAlgorithm.SHA256, NULL_SIGNATURE)


class NullSigner:
    """A `Signer` for simulations only; `signature_size` octets a signature, as a real one would have."""

    def __init__(
        self, node_id: bytes, user_name: str | None = None, *, certificate_size: int = 0, signature_size: int = 32
    ) -> None:
        """The certificate is filled up to `certificate_size` octets. `signature_size` is 32 at least."""
        body = bytes([len(node_id)]) + node_id + (user_name or "").encode() + b"\0"
        self._certificate = GenericCertificate(NULL_CERTIFICATE, body.ljust(certificate_size, b"\0"))
        self._node_id = node_id
        digest = hashlib.sha256(self._certificate.certificate).digest()
        self._identity = SignerIdentity(SignerIdentityType.CERT_HASH, CertificateHash(HashAlgorithm.SHA256, digest))
        self._identity_octets = encode(self._identity)
        self._filling = bytes(signature_size - 32)

    @property
    def node_id(self) -> bytes:
        """The Node-ID that signatures are made with."""
        return self._node_id

    @property
    def certificates(self) -> tuple[GenericCertificate, ...]:
        """What stands for the certificate."""
        return (self._certificate,)

    def sign(self, octets: bytes, *, covers_identity: bool = True) -> Signature:
        """A hash of the octets, in the place of a signature."""
        covered = octets + self._identity_octets if covers_identity else octets
        value = hashlib.sha256(covered).digest() + self._filling
        return Signature(_ALGORITHM, self._identity, value)


class NullVerifier:
    """A `Verifier` for simulations only: it believes every `NullSigner`, and nobody else."""

    def verify(
        self,
        signature: Signature,
        octets: bytes,
        certificates: Sequence[GenericCertificate],
        wall: float,
        *,
        covers_identity: bool = True,
    ) -> Identity:
        """Who says to have signed. Raises SecurityError for other octets, and for a real signature."""
        named = signature.identity.identity
        if signature.algorithm != _ALGORITHM or not isinstance(named, CertificateHash):
            raise SecurityError("signature: not that of a NullSigner")
        covered = octets + encode(signature.identity) if covers_identity else octets
        if signature.signature_value[:32] != hashlib.sha256(covered).digest():
            raise SecurityError("signature: of other octets")
        for offered in certificates:
            if hashlib.sha256(offered.certificate).digest() == named.certificate_hash:
                return _read(offered.certificate)
        raise SecurityError("signature: the certificate of its signer is not there")

    def identify(self, certificate: bytes, certificates: Sequence[GenericCertificate], wall: float) -> Identity:
        """Who says to have this certificate. Raises SecurityError for one that no NullSigner has."""
        return _read(certificate)


def _read(certificate: bytes) -> Identity:
    if not certificate or len(certificate) < 2 + certificate[0]:
        raise SecurityError("certificate: not that of a NullSigner")
    stop = 1 + certificate[0]
    node_id = certificate[1:stop]
    try:
        user_name = certificate[stop:].rstrip(b"\0").decode()
    except UnicodeDecodeError as exc:
        raise SecurityError("certificate: not that of a NullSigner") from exc
    return Identity(node_id, (node_id,), user_name or None, certificate)
