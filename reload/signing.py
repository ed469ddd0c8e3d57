"""Signatures over messages and data (RFC 6940 sections 6.3.4 and 7.1)."""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from reload._chain import Paths, Trust
from reload._presentation import encode
from reload.contents import MessageContents
from reload.errors import SecurityError
from reload.header import ForwardingHeader, encode_header
from reload.identity import HASHES, CertificateCache, NodeCertificate, PublicKey, read_certificate
from reload.message import Message
from reload.ports import Identity, Signer, Verifier
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
from reload.storage_messages import ArrayEntry, StoredDataValue

MAX_CERTIFICATES = 64
"""Certificates of one bucket that are looked at: a message of the default size has room for some ten."""
MAX_VERIFIED = 4096
"""Signatures that are remembered to hold, some 400 octets each: what a peer stores is shown to it again and again."""
ACCEPTED_HASHES = frozenset({HashAlgorithm.SHA256, HashAlgorithm.SHA384, HashAlgorithm.SHA512})
"""Hashes that are safe to sign with and to name a certificate with."""

_SCHEMES: dict[int, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA1: hashes.SHA1(),
    HashAlgorithm.SHA224: hashes.SHA224(),
    HashAlgorithm.SHA256: hashes.SHA256(),
    HashAlgorithm.SHA384: hashes.SHA384(),
    HashAlgorithm.SHA512: hashes.SHA512(),
}
_PKCS1 = padding.PKCS1v15()
_MESSAGE = struct.Struct(">IQ")
_DATA = struct.Struct(">IQ")
_NAMED = (SignerIdentityType.CERT_HASH, SignerIdentityType.CERT_HASH_NODE_ID)


def message_input(overlay: int, transaction_id: int, contents: bytes) -> bytes:
    """What the signature of a message covers, before its SignerIdentity; `contents` are the octets as sent."""
    return _MESSAGE.pack(overlay, transaction_id) + contents


def data_input(resource_id: bytes, kind: int, storage_time: int, value: bytes) -> bytes:
    """What the signature of a stored value covers, before its SignerIdentity (section 7.1).

    `value` are the octets of the StoredDataValue, see `value_octets`. The Resource-ID stands there without a length,
    and the lifetime not at all.
    """
    return resource_id + _DATA.pack(kind, storage_time) + value


def value_octets(value: StoredDataValue, *, node_id_length: int = 16) -> bytes:
    """A StoredDataValue as it is signed: the index of an array entry is 0, wherever it is stored (section 7.4.2.2)."""
    if isinstance(value, ArrayEntry) and value.index:
        value = ArrayEntry(0, value.value)
    return encode(value, node_id_length=node_id_length)


def signer_identity(certificate: NodeCertificate, node_id: bytes, hash_alg: HashAlgorithm) -> SignerIdentity:
    """How signatures name their signer: by cert_hash, and with several Node-IDs by cert_hash_node_id.

    Raises SecurityError for a Node-ID that the certificate does not have.
    """
    if node_id not in certificate.node_ids:
        raise SecurityError("certificate: it has no such Node-ID")
    if len(certificate.node_ids) == 1:
        digest = HASHES[hash_alg](certificate.der).digest()
        return SignerIdentity(SignerIdentityType.CERT_HASH, CertificateHash(hash_alg, digest))
    digest = HASHES[hash_alg](node_id + certificate.der).digest()
    return SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, CertificateHash(hash_alg, digest))


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeySigner:
    """A `Signer` with a private key and its certificate.

    The same octets give the same signature: RSASSA-PKCS1-v1_5 has no chance in it, and ECDSA takes it from the key and
    the octets (RFC 6979) where the library can.
    """

    def __init__(
        self,
        key: PrivateKey,
        certificates: Sequence[bytes],
        overlay: str,
        *,
        node_id: bytes | None = None,
        node_id_length: int = 16,
        hash_algorithm: HashAlgorithm = HashAlgorithm.SHA256,
    ) -> None:
        """`certificates` are the own one, DER, and those between it and a root-cert.

        `node_id` chooses among the Node-IDs of the certificate; the first without it. Raises SecurityError when the
        certificate is not the key's, or has no such Node-ID.
        """
        own = read_certificate(certificates[0], overlay, node_id_length=node_id_length)
        if own.public_key != key.public_key():
            raise SecurityError("certificate: it is another key's")
        self._node_id = own.node_ids[0] if node_id is None else node_id
        self._identity = signer_identity(own, self._node_id, hash_algorithm)
        self._identity_octets = encode(self._identity)
        self._certificates = tuple(GenericCertificate(X509, der) for der in certificates)
        of_key = SignatureAlgorithm.RSA if isinstance(key, rsa.RSAPrivateKey) else SignatureAlgorithm.ECDSA
        self._algorithm = SignatureAndHashAlgorithm(hash_algorithm, of_key)
        self._scheme = _SCHEMES[hash_algorithm]
        self._key = key
        self._ecdsa = _ecdsa(self._scheme)

    @property
    def node_id(self) -> bytes:
        """The Node-ID that signatures are made with."""
        return self._node_id

    @property
    def certificates(self) -> tuple[GenericCertificate, ...]:
        """The own certificate first, then those between it and a root-cert."""
        return self._certificates

    def sign(self, octets: bytes, *, covers_identity: bool = True) -> Signature:
        """A signature over `octets` and the SignerIdentity behind them; over `octets` alone in a configuration."""
        covered = octets + self._identity_octets if covers_identity else octets
        key = self._key
        if isinstance(key, rsa.RSAPrivateKey):
            value = key.sign(covered, _PKCS1, self._scheme)
        else:
            value = key.sign(covered, self._ecdsa)
        return Signature(self._algorithm, self._identity, value)


def _ecdsa(scheme: hashes.HashAlgorithm) -> ec.ECDSA:
    try:
        return ec.ECDSA(scheme, deterministic_signing=True)
    except UnsupportedAlgorithm:  # OpenSSL before 3.2
        return ec.ECDSA(scheme)


class OverlayVerifier:
    """A `Verifier` of those whom an overlay trusts. It remembers certificates, paths and signatures that held."""

    def __init__(self, trust: Trust, *, hash_algorithms: frozenset[HashAlgorithm] = ACCEPTED_HASHES) -> None:
        """Raises SecurityError for a root certificate that is none."""
        self._trust = trust
        self._hash_algorithms = hash_algorithms
        self._cache = CertificateCache(trust.overlay, node_id_length=trust.node_id_length)
        self._paths = Paths(trust)
        self._verified: OrderedDict[tuple[bytes, bytes, int, int, bytes], None] = OrderedDict()

    @property
    def trust(self) -> Trust:
        """Whom it trusts."""
        return self._trust

    def verify(
        self,
        signature: Signature,
        octets: bytes,
        certificates: Sequence[GenericCertificate],
        wall: float,
        *,
        covers_identity: bool = True,
    ) -> Identity:
        """Who has signed `octets`. Raises SecurityError when signature or certificate fail at the Unix time `wall`."""
        if signature.algorithm.hash not in self._hash_algorithms:
            raise SecurityError(f"signature: hash algorithm {signature.algorithm.hash} is not accepted")
        certificate, node_id = self._signer(signature.identity, certificates)
        issuers = self._paths.check(certificate, certificates, wall)
        covered = octets + encode(signature.identity) if covers_identity else octets
        known = (
            signature.signature_value,
            hashlib.sha256(covered).digest(),
            signature.algorithm.hash,
            signature.algorithm.signature,
            certificate.der,
        )
        if known in self._verified:
            self._verified.move_to_end(known)
        else:
            _verify(certificate.public_key, signature, covered)
            self._verified[known] = None
            if len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        return Identity(node_id, certificate.node_ids, certificate.user_name, certificate.der, issuers)

    def identify(self, certificate: bytes, certificates: Sequence[GenericCertificate], wall: float) -> Identity:
        """Who may show this certificate, DER, as on a (D)TLS connection; `node_id` is its first Node-ID.

        Raises SecurityError when it is not valid in this overlay.
        """
        found = self._cache.read(certificate)
        issuers = self._paths.check(found, certificates[:MAX_CERTIFICATES], wall)
        return Identity(found.node_ids[0], found.node_ids, found.user_name, found.der, issuers)

    def _signer(
        self, identity: SignerIdentity, certificates: Sequence[GenericCertificate]
    ) -> tuple[NodeCertificate, bytes]:
        """The certificate that an identity names, and the Node-ID."""
        named = identity.identity
        if identity.identity_type not in _NAMED or not isinstance(named, CertificateHash):
            raise SecurityError(f"signature: no signer is named, type {identity.identity_type}")
        if named.hash_alg not in self._hash_algorithms:
            raise SecurityError(f"signature: hash algorithm {named.hash_alg} for a certificate is not accepted")
        if len(certificates) > MAX_CERTIFICATES:
            raise SecurityError(f"signature: {len(certificates)} certificates with it, over {MAX_CERTIFICATES}")
        single = identity.identity_type == SignerIdentityType.CERT_HASH
        digest = HASHES[HashAlgorithm(named.hash_alg)]
        for offered in certificates:
            if offered.type != X509:
                continue
            # By its hash first: to read a certificate costs a hundred times as much.
            if single and digest(offered.certificate).digest() != named.certificate_hash:
                continue
            try:
                certificate = self._cache.read(offered.certificate)
            except SecurityError:
                if single:
                    raise
                continue
            if single == (len(certificate.node_ids) == 1):
                node_id = certificate.signer(named.hash_alg, named.certificate_hash)
                if node_id is not None:
                    return certificate, node_id
        raise SecurityError("signature: the certificate of its signer is not there")


def _verify(key: PublicKey, signature: Signature, covered: bytes) -> None:
    """Raises SecurityError unless the signature holds."""
    scheme = _SCHEMES[signature.algorithm.hash]
    try:
        match key, signature.algorithm.signature:
            case rsa.RSAPublicKey(), SignatureAlgorithm.RSA:
                key.verify(signature.signature_value, covered, _PKCS1, scheme)
            case ec.EllipticCurvePublicKey(), SignatureAlgorithm.ECDSA:
                key.verify(signature.signature_value, covered, ec.ECDSA(scheme))
            case _:
                raise SecurityError(f"signature: algorithm {signature.algorithm.signature} is not that of the key")
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as exc:
        raise SecurityError("signature: it does not hold") from exc


def sign_message(
    header: ForwardingHeader,
    contents: MessageContents,
    signer: Signer,
    certificates: Iterable[GenericCertificate] = (),
    *,
    node_id_length: int = 16,
) -> Message:
    """A signed message. `certificates` are those of the values within it, which travel in the same bucket.

    Raises EncodeError for contents that have no octets.
    """
    octets = encode(contents, node_id_length=node_id_length)
    signature = signer.sign(message_input(header.overlay, header.transaction_id, octets))
    bucket = signer.certificates
    if certificates:
        have = {known.certificate for known in bucket}
        more = {other.certificate: other for other in certificates if other.certificate not in have}
        bucket += tuple(more.values())
    return Message(header, contents, SecurityBlock(bucket, signature), octets)


def encode_signed(message: Message, *, node_id_length: int = 16) -> bytes:
    """The octets of a message that `sign_message` made or `decode_message` read; the contents as they were signed."""
    payload = message.signed + encode(message.security_block)
    return encode_header(message.header, len(payload), node_id_length=node_id_length) + payload


def verify_message(message: Message, verifier: Verifier, wall: float) -> Identity:
    """Who has sent a message that was received. Raises SecurityError: the message must be dropped then."""
    block = message.security_block
    octets = message_input(message.header.overlay, message.header.transaction_id, message.signed)
    return verifier.verify(block.signature, octets, block.certificates, wall)


def own_identity(signer: Signer, overlay: str, *, node_id_length: int = 16) -> Identity:
    """The identity that others find in a signer's signatures. Raises SecurityError."""
    own = read_certificate(signer.certificates[0].certificate, overlay, node_id_length=node_id_length)
    return Identity(signer.node_id, own.node_ids, own.user_name, own.der)
