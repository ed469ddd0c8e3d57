"""Making keys, certificates and certificate signing requests (RFC 6940 sections 11.3 and 11.3.1).

For an enrollment server, and for nodes of an overlay that permits self-signed certificates. Times are Unix times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from reload.errors import SecurityError
from reload.identity import node_id_uri, self_signed_node_ids
from reload.signing import PrivateKey

KeyType = Literal["rsa", "p256"]
_SERIAL_OCTETS = 16
_ISSUER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "RELOAD enrollment")])


def generate_key(key_type: KeyType = "p256") -> PrivateKey:
    """A fresh key: RSA of 2048 bits, whose signatures everybody must know, or P-256, twenty times as fast."""
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def random_node_id(random_bytes: Callable[[int], bytes], *, length: int = 16) -> bytes:
    """A Node-ID that nobody can foresee; neither all 0s nor all 1s, which are reserved."""
    while True:
        node_id = random_bytes(length)
        if node_id.strip(b"\0") and node_id.strip(b"\xff"):
            return node_id


def public_key_info(key: PrivateKey) -> bytes:
    """The subjectPublicKeyInfo of a key, DER."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def make_self_signed(
    key: PrivateKey,
    overlay: str,
    user_name: str | None = None,
    *,
    not_before: float,
    not_after: float,
    random_bytes: Callable[[int], bytes],
    digest: str = "sha256",
    count: int = 1,
    node_id_length: int = 16,
) -> bytes:
    """A self-signed certificate, DER, with the `count` Node-IDs that its key entitles to."""
    node_ids = self_signed_node_ids(public_key_info(key), digest, count, length=node_id_length)
    builder = _node_builder(key.public_key(), x509.Name([]), overlay, node_ids, user_name)
    return _finish(builder, key, not_before, not_after, random_bytes)


@attrs.define
class Authority:
    """Issues the certificates of an overlay. `certificate` is DER: a root-cert, or one that a root-cert leads to."""

    key: PrivateKey
    certificate: bytes

    @classmethod
    def root(
        cls,
        key: PrivateKey,
        *,
        not_before: float,
        not_after: float,
        random_bytes: Callable[[int], bytes],
        name: x509.Name = _ISSUER,
    ) -> Authority:
        """A new root."""
        builder = _authority_builder(key.public_key(), name, name, None)
        return cls(key, _finish(builder, key, not_before, not_after, random_bytes))

    def subordinate(
        self,
        key: PrivateKey,
        common_name: str,
        *,
        not_before: float,
        not_after: float,
        random_bytes: Callable[[int], bytes],
    ) -> Authority:
        """Another authority below this one, which issues certificates of nodes only."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        builder = self._below(_authority_builder(key.public_key(), name, self._name, 0))
        return Authority(key, _finish(builder, self.key, not_before, not_after, random_bytes))

    def issue(
        self,
        public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        overlay: str,
        node_ids: Sequence[bytes],
        user_name: str | None = None,
        *,
        not_before: float,
        not_after: float,
        random_bytes: Callable[[int], bytes],
    ) -> bytes:
        """A node's certificate, DER: no subject, and a critical subjectAltName of Node-IDs and user name."""
        builder = self._below(_node_builder(public_key, self._name, overlay, node_ids, user_name))
        return _finish(builder, self.key, not_before, not_after, random_bytes)

    def _below(self, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        """With the authorityKeyIdentifier that RFC 5280 section 4.2.1.1 wants in what is not self-signed."""
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(identifier, critical=False)

    @property
    def _name(self) -> x509.Name:
        return x509.load_der_x509_certificate(self.certificate).subject


@attrs.frozen
class SigningRequest:
    """What a certificate signing request asks for."""

    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    user_name: str | None


def make_signing_request(key: PrivateKey, user_name: str | None = None) -> bytes:
    """A PKCS #10 request, DER; the user name, if any, as the rfc822Name of a subjectAltName."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if user_name is not None:
        names = x509.SubjectAlternativeName([x509.RFC822Name(user_name)])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def read_signing_request(der: bytes) -> SigningRequest:
    """What a PKCS #10 request asks for. Raises SecurityError: bad_CSR.

    Whatever other names it wishes are left out: Node-IDs are the enrollment server's to choose.
    """
    try:
        request = x509.load_der_x509_csr(der)
        if not request.is_signature_valid:
            raise SecurityError("CSR: its signature does not hold")
        key = request.public_key()
        users = [
            name
            for extension in request.extensions
            if isinstance(extension.value, x509.SubjectAlternativeName)
            for name in extension.value.get_values_for_type(x509.RFC822Name)
        ]
    except (ValueError, TypeError, Warning, UnsupportedAlgorithm) as exc:
        raise SecurityError(f"CSR: {exc}") from exc
    except (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise SecurityError(f"CSR: {exc}") from exc
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SecurityError("CSR: the key is neither RSA nor on an elliptic curve")
    if len(users) > 1:
        raise SecurityError("CSR: more than one user name")
    return SigningRequest(key, users[0] if users else None)


def _node_builder(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    overlay: str,
    node_ids: Sequence[bytes],
    user_name: str | None,
) -> x509.CertificateBuilder:
    names: list[x509.GeneralName] = [x509.RFC822Name(user_name)] if user_name is not None else []
    names += [x509.UniformResourceIdentifier(node_id_uri(node_id, overlay)) for node_id in node_ids]
    return (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=x509.Name([]), public_key=key)
        # Without a subject it must be critical (RFC 5280 section 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
    )


def _authority_builder(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    path_length: int | None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _finish(
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    not_before: float,
    not_after: float,
    random_bytes: Callable[[int], bytes],
) -> bytes:
    # The high bit stays 0, so that it is positive in as many octets, and the lowest is 1, so that it is not 0.
    serial = int.from_bytes(random_bytes(_SERIAL_OCTETS), "big") >> 1 | 1
    return (
        builder.serial_number(serial)
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=_deterministic(key))
        .public_bytes(serialization.Encoding.DER)
    )


def _deterministic(key: PrivateKey) -> bool | None:
    """Whether to sign without chance (RFC 6979): with a curve, where the library can."""
    if isinstance(key, rsa.RSAPrivateKey):
        return None
    try:
        ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return None
    return True
