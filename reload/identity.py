"""Certificates with Node-IDs and a user name (RFC 6940 sections 11.3, 11.3.1 and 14.15)."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from reload.destinations import NodeDestination, decode_destinations, encode_destination
from reload.errors import DecodeError, SecurityError
from reload.security_block import HashAlgorithm

MAX_NODE_IDS = 32
"""Node-IDs of one certificate: each costs a hash over the certificate when a signer is sought."""
RSA_KEY_BITS = range(2048, 8193)
"""Shorter keys are broken, and to verify with longer ones costs a peer more than to send them."""
MAX_RSA_EXPONENT = 1 << 32
"""Verifying takes time in proportion to the exponent's length; no key in use has one over 65537."""
CURVES = ("secp256r1", "secp384r1", "secp521r1")

HASHES = {
    HashAlgorithm.SHA1: hashlib.sha1,
    HashAlgorithm.SHA224: hashlib.sha224,
    HashAlgorithm.SHA256: hashlib.sha256,
    HashAlgorithm.SHA384: hashlib.sha384,
    HashAlgorithm.SHA512: hashlib.sha512,
}
DIGESTS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
"""The digests for Node-IDs of self-signed certificates (section 11.1, self-signed-permitted)."""

_URI = re.compile(r"reload://([0-9a-f]+)@([^/@]+)/", re.IGNORECASE)
_USER_NAME = re.compile(r"[\x21-\x7e]+@[\x21-\x7e]+")

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def node_id_uri(node_id: bytes, overlay: str) -> str:
    """The URI that stands for a Node-ID in a subjectAltName: its Destination in hexadecimal (section 14.15)."""
    return f"reload://{encode_destination(NodeDestination(node_id), len(node_id)).hex()}@{overlay}/"


def read_node_id_uri(uri: str, overlay: str, *, node_id_length: int = 16) -> bytes:
    """The Node-ID of such a URI. Raises SecurityError for another overlay's, and for anything but one Node-ID."""
    match = _URI.fullmatch(uri)
    if match is None or len(match[1]) % 2:
        raise SecurityError(f"certificate: {uri!r} is no reload URI of a node")
    if match[2].lower() != overlay.lower():
        raise SecurityError(f"certificate: {uri!r} is of another overlay than {overlay!r}")
    try:
        destinations = decode_destinations(bytes.fromhex(match[1]), node_id_length)
    except DecodeError as exc:
        raise SecurityError(f"certificate: {uri!r}: {exc}") from exc
    match destinations:
        case (NodeDestination(node_id) as destination,) if node_id.strip(b"\0") and not destination.is_wildcard:
            return node_id
    raise SecurityError(f"certificate: {uri!r} does not name one node")


def self_signed_node_ids(public_key_info: bytes, digest: str, count: int = 1, *, length: int = 16) -> tuple[bytes, ...]:
    """The Node-IDs that a key entitles to: the high-order bits of a digest of its subjectPublicKeyInfo, DER.

    With several of them, the index of each, from 1, is hashed in front, as 4 octets (section 11.3.1).
    """
    prefixes = [b""] if count == 1 else [index.to_bytes(4, "big") for index in range(1, count + 1)]
    return tuple(DIGESTS[digest](prefix + public_key_info).digest()[:length] for prefix in prefixes)


@attrs.define
class NodeCertificate:
    """What a certificate says of itself; whether that is to be believed is `OverlayVerifier`'s to find out.

    Times are Unix times; both are within the validity. `public_key_info` is the subjectPublicKeyInfo as it came.
    """

    der: bytes = attrs.field(repr=False)
    node_ids: tuple[bytes, ...]
    user_name: str | None
    not_before: float
    not_after: float
    public_key: PublicKey = attrs.field(repr=False)
    public_key_info: bytes = attrs.field(repr=False)
    x509: x509.Certificate = attrs.field(repr=False)
    _hashes: dict[tuple[int, bool], dict[bytes, bytes]] = attrs.field(factory=dict, repr=False, init=False)

    def signer(self, hash_alg: int, value: bytes) -> bytes | None:
        """The Node-ID that a SignerIdentity names with this hash: None when it is another certificate's.

        A certificate of one Node-ID is named by H(certificate), and one of several by H(Node-ID || certificate), and
        never the other way round (section 6.3.4).
        """
        several = len(self.node_ids) > 1
        found = self._hashes.get((hash_alg, several))
        if found is None:
            digest = HASHES[HashAlgorithm(hash_alg)]
            found = {digest((node_id if several else b"") + self.der).digest(): node_id for node_id in self.node_ids}
            self._hashes[hash_alg, several] = found
        return found.get(value)


def read_certificate(der: bytes, overlay: str, *, node_id_length: int = 16) -> NodeCertificate:
    """A node's certificate. Raises SecurityError when it cannot be one of this overlay.

    Its subjectAltName holds one or more Node-IDs and at most one user name, and nothing else (section 11.3).
    """
    certificate = load_certificate(der)
    names = _alternative_names(certificate)
    node_ids: list[bytes] = []
    users: list[str] = []
    for name in names:
        match name:
            case x509.UniformResourceIdentifier(value=uri):
                node_ids.append(read_node_id_uri(uri, overlay, node_id_length=node_id_length))
            case x509.RFC822Name(value=user):
                users.append(user)
            case _:
                raise SecurityError(f"certificate: names another identity, {type(name).__name__}")
    if not 1 <= len(node_ids) <= MAX_NODE_IDS or len(set(node_ids)) != len(node_ids):
        raise SecurityError(f"certificate: {len(set(node_ids))} different Node-IDs, 1 to {MAX_NODE_IDS} are due")
    if len(users) > 1 or not all(_USER_NAME.fullmatch(user) for user in users):
        raise SecurityError(f"certificate: {users!r} is not one user name")
    return NodeCertificate(
        der,
        tuple(node_ids),
        users[0] if users else None,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        _public_key(certificate),
        _public_key_info(certificate.tbs_certificate_bytes),
        certificate,
    )


def load_certificate(der: bytes) -> x509.Certificate:
    """An X.509 certificate, version 3, whatever it is for. Raises SecurityError."""
    # The library only warns of a serial number that RFC 5280 does not allow.
    if not _is_version_3_with_serial(der):
        raise SecurityError("certificate: not one of X.509 version 3 with a positive serial number")
    try:
        certificate = x509.load_der_x509_certificate(der)
        # The library parses these only when they are asked for.
        _ = certificate.issuer, certificate.subject, certificate.extensions
        _ = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        return certificate
    except (ValueError, TypeError, OverflowError, Warning, UnsupportedAlgorithm) as exc:
        raise SecurityError(f"certificate: {exc}") from exc
    except (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise SecurityError(f"certificate: {exc}") from exc


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as exc:
        raise SecurityError("certificate: no subjectAltName, so no Node-ID") from exc


def _public_key(certificate: x509.Certificate) -> PublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise SecurityError(f"certificate: {exc}") from exc
    match key:
        case rsa.RSAPublicKey() if key.key_size in RSA_KEY_BITS and key.public_numbers().e < MAX_RSA_EXPONENT:
            return key
        case ec.EllipticCurvePublicKey() if key.curve.name in CURVES:
            return key
    raise SecurityError("certificate: the key is neither RSA of 2048 to 8192 bits nor on P-256, P-384 or P-521")


def _is_version_3_with_serial(der: bytes) -> bool:
    """Whether the octets begin as such a certificate does; the library reads them strictly after that."""
    try:
        at, _ = _content(der, 0)
        at, _ = _content(der, at)
        if der[at : at + 5] != b"\xa0\x03\x02\x01\x02":
            return False
        start, length = _content(der, at + 5)
        serial = der[start : start + length]
        return serial != b"" and serial[0] < 0x80 and serial.strip(b"\0") != b""
    except IndexError:
        return False


def _public_key_info(tbs: bytes) -> bytes:
    """The subjectPublicKeyInfo within a tbsCertificate (version 3) that the library has already parsed."""
    at, _ = _content(tbs, 0)
    for _ in range(6):  # version, serialNumber, signature, issuer, validity, subject
        start, length = _content(tbs, at)
        at = start + length
    start, length = _content(tbs, at)
    return tbs[at : start + length]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of a DER element starts, and its length. Tags of one octet."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, length
    size = length & 0x7F
    return at + 2 + size, int.from_bytes(der[at + 2 : at + 2 + size], "big")


class CertificateCache:
    """The certificates of an overlay that were read last, by their DER. A certificate is sent with every message."""

    def __init__(self, overlay: str, *, node_id_length: int = 16, limit: int = 1024) -> None:
        """At most `limit` certificates are kept, some 4 kB each: as many peers as talk to one node."""
        self._overlay = overlay
        self._node_id_length = node_id_length
        self._limit = limit
        self._found: OrderedDict[bytes, NodeCertificate] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def read(self, der: bytes) -> NodeCertificate:
        """What `read_certificate` says; errors are not kept. Raises SecurityError."""
        found = self._found.get(der)
        if found is None:
            found = self._found[der] = read_certificate(der, self._overlay, node_id_length=self._node_id_length)
            if len(self._found) > self._limit:
                self._found.popitem(last=False)
        else:
            self._found.move_to_end(der)
        return found
