"""The security block (RFC 6940 section 6.3.4)."""

import pytest

from reload._presentation import decode, encode
from reload.errors import DecodeError
from reload.security_block import (
    X509,
    CertificateHash,
    GenericCertificate,
    HashAlgorithm,
    SecurityBlock,
    Signature,
    SignatureAlgorithm,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)

HASH = CertificateHash(hash_alg=HashAlgorithm.SHA256, certificate_hash=b"hash")
IDENTITIES = [
    ("01 0006 04 04 68617368", SignerIdentity(identity_type=SignerIdentityType.CERT_HASH, identity=HASH)),
    ("02 0006 04 04 68617368", SignerIdentity(identity_type=SignerIdentityType.CERT_HASH_NODE_ID, identity=HASH)),
    ("03 0000", SignerIdentity(identity_type=SignerIdentityType.NONE, identity=None)),
    ("04 0002 0102", SignerIdentity(identity_type=4, identity=b"\1\2")),
]


@pytest.mark.parametrize(("wire", "value"), IDENTITIES)
def test_identities_read_and_write(wire: str, value: SignerIdentity) -> None:
    assert encode(value) == bytes.fromhex(wire)
    assert decode(SignerIdentity, bytes.fromhex(wire)) == value


@pytest.mark.parametrize(
    "wire", ["00 0000", "03 0001 00", "01 0000", "01 0007 04 04 68617368 00", "01 0005 04 04 686173"]
)
def test_malformed_identities_are_refused(wire: str) -> None:
    with pytest.raises(DecodeError):
        decode(SignerIdentity, bytes.fromhex(wire))


def test_the_hash_stands_before_the_signature_algorithm_as_in_tls_1_2() -> None:
    algorithm = SignatureAndHashAlgorithm(hash=HashAlgorithm.SHA256, signature=SignatureAlgorithm.ECDSA)
    assert encode(algorithm) == b"\4\3"
    assert encode(SignatureAndHashAlgorithm(hash=HashAlgorithm.NONE, signature=SignatureAlgorithm.ANONYMOUS)) == b"\0\0"


def test_a_block_is_a_bucket_of_certificates_and_one_signature() -> None:
    block = SecurityBlock(
        certificates=(GenericCertificate(type=X509, certificate=b"DER"), GenericCertificate(type=7, certificate=b"")),
        signature=Signature(
            algorithm=SignatureAndHashAlgorithm(hash=4, signature=1),
            identity=IDENTITIES[0][1],
            signature_value=b"signed",
        ),
    )
    octets = bytes.fromhex("0009 00 0003 444552 07 0000 04 01 01 0006 04 04 68617368 0006 7369676e6564")
    assert encode(block) == octets
    assert decode(SecurityBlock, octets) == block
