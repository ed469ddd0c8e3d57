"""The security block: certificates and a signature (RFC 6940 section 6.3.4)."""

from __future__ import annotations

from enum import IntEnum

from reload._presentation import structure
from reload._specs import nested, opaque, select, u8, vector


class HashAlgorithm(IntEnum):
    """TLS HashAlgorithm registry, as far as RELOAD implementations use it."""

    NONE = 0
    SHA1 = 2
    SHA224 = 3
    SHA256 = 4
    SHA384 = 5
    SHA512 = 6


class SignatureAlgorithm(IntEnum):
    """TLS SignatureAlgorithm registry."""

    ANONYMOUS = 0
    RSA = 1
    DSA = 2
    ECDSA = 3


class SignerIdentityType(IntEnum):
    """How the signer's certificate is named."""

    CERT_HASH = 1
    CERT_HASH_NODE_ID = 2
    NONE = 3


X509 = 0
"""CertificateType of X.509 (RFC 6091)."""


@structure
class GenericCertificate:
    """A certificate, DER for X.509."""

    type: int = u8()
    certificate: bytes = opaque(2)


@structure
class CertificateHash:
    """The hash of a certificate, or of a Node-ID and a certificate behind it."""

    hash_alg: int = u8()
    certificate_hash: bytes = opaque(1)


@structure
class SignerIdentity:
    """Whose signature it is; the octets of an unknown type."""

    identity_type: int = u8()
    identity: CertificateHash | bytes | None = select(
        "identity_type", {1: CertificateHash, 2: CertificateHash, 3: None}, length=2, extensible=True
    )


@structure
class SignatureAndHashAlgorithm:
    """How a signature was made, in the numbers of TLS 1.2 (RFC 5246 section 7.4.1.4.1)."""

    hash: int = u8()
    signature: int = u8()


@structure
class Signature:
    """A signature: how it was made, and by whom."""

    algorithm: SignatureAndHashAlgorithm = nested(SignatureAndHashAlgorithm)
    identity: SignerIdentity = nested(SignerIdentity)
    signature_value: bytes = opaque(2)


@structure
class SecurityBlock:
    """A bucket of certificates and the signature of the message."""

    certificates: tuple[GenericCertificate, ...] = vector(GenericCertificate, 2)
    signature: Signature = nested(Signature)
