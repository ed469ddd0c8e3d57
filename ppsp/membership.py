"""Membership certificates (RFC 7574 sections 8.13 and 12.2): that a peer at an address is a member of a swarm.

A tracker, or whoever the swarm's publisher trusts, issues them; peers pass them on in PEX_REScert messages. They are
X.509v3 in DER, with one critical Subject Alternative Name, the URI `file://host:port/<swarm ID in hex>`. To issue or to
check one needs `cryptography` (the extra `ppsp-live`), which is imported when the first key is read.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ppsp._limits import MAX_CERTIFICATE
from ppsp.errors import MembershipError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

# "Certificates can be fairly long lived" (section 12.2.2); addresses of peers often change within a day.
LIFETIME_SECONDS = 86_400
# The clocks of issuer and peer may differ by so much.
_SKEW_SECONDS = 300


class MembershipIssuer:
    """Signs certificates with an ECDSA key on P-256."""

    def __init__(self, private: EllipticCurvePrivateKey, random_bytes: Callable[[int], bytes]) -> None:
        self._private = private
        self._random_bytes = random_bytes

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> MembershipIssuer:
        """With a new key; `random_bytes` makes serial numbers."""
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        return cls(generate_private_key(SECP256R1()), random_bytes)

    @property
    def public_pem(self) -> bytes:
        """The key by which certificates are checked; the swarm's metadata should carry it (section 12.2.2)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def issue(
        self, swarm_id: bytes, host: str, port: int, unix_time: float, *, lifetime: float = LIFETIME_SECONDS
    ) -> bytes:
        """The certificate of the peer at an IP address; the caller has seen that the peer can be reached there.

        Raises ValueError when `host` is no IP address or the port cannot be.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.x509.oid import NameOID

        ip = ipaddress.ip_address(host)
        if not 0 < port <= 0xFFFF:
            raise ValueError(f"no peer has the port {port}")
        authority = f"[{ip}]" if ip.version == 6 else str(ip)
        url = f"file://{authority}:{port}/{swarm_id.hex()}"
        start = datetime.fromtimestamp(int(unix_time), UTC)
        # The peer has no part in any TLS handshake: the key in the certificate is the issuer's.
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PPSP membership")]))
            .public_key(self._private.public_key())
            .serial_number(int.from_bytes(self._random_bytes(16), "big") | 1)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(seconds=lifetime))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(url)]), critical=True)
        )
        from cryptography.hazmat.primitives.serialization import Encoding

        return builder.sign(self._private, SHA256()).public_bytes(Encoding.DER)


class MembershipVerifier:
    """Checks certificates of one issuer."""

    def __init__(self, public_pem: bytes) -> None:
        """Raises MembershipError when this is no public ECDSA key."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            public = load_pem_public_key(public_pem)
        except ValueError as exc:
            raise MembershipError(f"this is no public key: {exc}") from exc
        if not isinstance(public, EllipticCurvePublicKey):
            raise MembershipError("membership certificates are signed with ECDSA")
        self._public = public

    def check(self, certificate: bytes, swarm_id: bytes, unix_time: float) -> tuple[str, int]:
        """The IP address and port of the member. Raises MembershipError for a certificate that proves nothing here."""
        from cryptography import x509

        if len(certificate) > MAX_CERTIFICATE:
            raise MembershipError(f"a membership certificate of {len(certificate)} octets")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is odd in a stranger's certificate is not our user's affair
                read = x509.load_der_x509_certificate(certificate)
            self._check_signature(read)
            now = datetime.fromtimestamp(unix_time, UTC)
            skew = timedelta(seconds=_SKEW_SECONDS)
            if not read.not_valid_before_utc - skew <= now <= read.not_valid_after_utc + skew:
                raise MembershipError("the membership is over, or has not begun")
            names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            urls = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        except MembershipError:
            raise
        except _unreadable() as exc:
            raise MembershipError(f"this is no membership certificate: {exc}") from exc
        if not names.critical or len(urls) != 1:
            raise MembershipError("a membership certificate has one critical name, a URI")
        return _member(urls[0], swarm_id)

    def _check_signature(self, certificate: Certificate) -> None:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        try:
            algorithm = certificate.signature_hash_algorithm
            if algorithm is None:
                raise MembershipError("the certificate is not signed with ECDSA")
            self._public.verify(certificate.signature, certificate.tbs_certificate_bytes, ECDSA(algorithm))
        except (InvalidSignature, UnsupportedAlgorithm) as exc:
            raise MembershipError("the certificate is not of the swarm's issuer") from exc


def _unreadable() -> tuple[type[Exception], ...]:
    """What `cryptography` raises for certificates that it does not read, and what comes of absurd times."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        OverflowError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    )


def _member(url: str, swarm_id: bytes) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme != "file" or host is None or not port:
            raise MembershipError(f"{url[:80]!r} does not tell where a peer is")
        if parts.path[1:].lower() != swarm_id.hex():
            raise MembershipError("the membership is of another swarm")
        # A name would have to be looked up at the wish of a stranger.
        return str(ipaddress.ip_address(host)), port
    except ValueError as exc:
        raise MembershipError(f"{url[:80]!r} does not tell where a peer is: {exc}") from exc
