"""Keys of live swarms (RFC 7574 sections 6.1, 7.7 and 8.9): public keys and signatures as DNSSEC writes them.

The swarm ID of a live stream is one octet, the DNSSEC algorithm number, and the public key as in a DNSKEY record: RSA
as in RFC 3110 (length of the exponent, exponent, modulus), ECDSA as x and y side by side (RFC 6605), Ed25519 as its 32
octets (RFC 8080). Signatures are those of an RRSIG: PKCS #1 v1.5 for RSA, r and s side by side for ECDSA.

`signature_size` needs nothing but the swarm ID. To sign or to verify needs `cryptography` (the extra `ppsp-live`),
which is imported when the first key is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from ppsp.constants import LiveSignatureAlgorithm
from ppsp.errors import MetadataError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as _EcPublic
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as _EdPublic
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey as _RsaPublic
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    _Private: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
    _Public: TypeAlias = _RsaPublic | _EcPublic | _EdPublic

RSA_KEY_BITS = 2048
"""Bits of the RSA keys that are made here. A signature then has 256 octets, which go with every munro hash."""

# RFC 3110 and RFC 5702 allow moduli of 512 to 4096 bits; below 1024, `cryptography` takes none.
_RSA_OCTETS = range(128, 513)
# Octets of one coordinate; the signature has two of them as well.
_CURVE_OCTETS: Mapping[int, int] = MappingProxyType(
    {LiveSignatureAlgorithm.ECDSAP256SHA256: 32, LiveSignatureAlgorithm.ECDSAP384SHA384: 48}
)
_RSA = frozenset({LiveSignatureAlgorithm.RSASHA1, LiveSignatureAlgorithm.RSASHA256})
_ED25519_KEY, _ED25519_SIGNATURE = 32, 64


def algorithm_of(swarm_id: bytes) -> LiveSignatureAlgorithm:
    """The signature algorithm that a live swarm's ID names in its first octet. Raises MetadataError for any other."""
    try:
        return LiveSignatureAlgorithm(swarm_id[0])
    except (IndexError, ValueError) as exc:
        raise MetadataError("the swarm ID of a live stream starts with a DNSSEC algorithm of 5, 8, 13, 14, 15") from exc


def signature_size(swarm_id: bytes) -> int:
    """Octets of a signature under the key in `swarm_id` (section 8.9). Raises MetadataError when it is no key."""
    algorithm = algorithm_of(swarm_id)
    key = swarm_id[1:]
    if algorithm in _RSA:
        return len(_rsa_parts(key)[1])
    size = _CURVE_OCTETS.get(algorithm)
    need, result = (_ED25519_KEY, _ED25519_SIGNATURE) if size is None else (2 * size, 2 * size)
    if len(key) != need:
        raise MetadataError(f"a public key under {algorithm.name} has {need} octets, this one has {len(key)}")
    return result


def _rsa_parts(key: bytes) -> tuple[bytes, bytes]:
    """Exponent and modulus of RFC 3110's tuple: the exponent's length has one octet, or a zero and two more."""
    size, at = (key[0], 1) if key else (0, 1)
    if not size:
        size, at = int.from_bytes(key[1:3], "big"), 3
    exponent, modulus = key[at : at + size], key[at + size :]
    if not exponent or len(exponent) != size or len(modulus) not in _RSA_OCTETS:
        raise MetadataError("the swarm ID's RSA key is not an exponent and a modulus of 1024 to 4096 bits")
    if not (exponent[0] and modulus[0]):
        raise MetadataError("the swarm ID's RSA key has zeros in front, which RFC 3110 forbids")
    return exponent, modulus


class LiveKey:
    """The public key of a live stream: what a viewer has. Raises MetadataError when `swarm_id` holds no valid key."""

    __slots__ = ("_public", "algorithm", "signature_size", "swarm_id")

    def __init__(self, swarm_id: bytes) -> None:
        self.swarm_id = bytes(swarm_id)
        self.algorithm = algorithm_of(self.swarm_id)
        self.signature_size = signature_size(self.swarm_id)
        try:
            self._public = _public_key(self.algorithm, self.swarm_id[1:])
        except ValueError as exc:
            raise MetadataError(f"the swarm ID holds no valid key under {self.algorithm.name}") from exc

    def verify(self, signature: bytes, plaintext: bytes) -> bool:
        """Whether `signature`, as in an RRSIG, is one over `plaintext` under this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(signature) != self.signature_size:
            return False
        public = self._public
        try:
            if isinstance(public, ed25519.Ed25519PublicKey):
                public.verify(signature, plaintext)
            elif isinstance(public, ec.EllipticCurvePublicKey):
                half = len(signature) // 2
                r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                public.verify(encode_dss_signature(r, s), plaintext, ec.ECDSA(_hash(self.algorithm)))
            else:
                public.verify(signature, plaintext, padding.PKCS1v15(), _hash(self.algorithm))
        except InvalidSignature:
            return False
        return True


class LiveSigner:
    """The private key of a live stream: what its source has.

    Make one with `generate`, or with `from_pem` from what `pem` gave.
    """

    __slots__ = ("_private", "algorithm", "swarm_id")

    def __init__(self, private: _Private, algorithm: LiveSignatureAlgorithm) -> None:
        self._private = private
        self.algorithm = algorithm
        self.swarm_id = bytes((algorithm,)) + _dnskey(private.public_key())
        signature_size(self.swarm_id)

    @classmethod
    def generate(cls, algorithm: LiveSignatureAlgorithm = LiveSignatureAlgorithm.ECDSAP256SHA256) -> LiveSigner:
        """A new key, by the chance of the operating system."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

        if algorithm in _RSA:
            return cls(rsa.generate_private_key(65537, RSA_KEY_BITS), algorithm)
        if algorithm in _CURVE_OCTETS:
            return cls(ec.generate_private_key(_curve(algorithm)), algorithm)
        return cls(ed25519.Ed25519PrivateKey.generate(), algorithm)

    @classmethod
    def from_pem(cls, pem: bytes, algorithm: LiveSignatureAlgorithm | None = None) -> LiveSigner:
        """Read an unencrypted private key in PEM, as `openssl genpkey` writes it too.

        `algorithm` tells RSASHA1 from RSASHA256 (None: the latter). Raises MetadataError when it is no key for it.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise MetadataError("this is no private key in PEM without a passphrase") from exc
        found: frozenset[LiveSignatureAlgorithm] = frozenset()
        if isinstance(private, rsa.RSAPrivateKey):
            found = _RSA
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            found = frozenset(each for each in _CURVES if private.curve.name == _curve(each).name)
        elif isinstance(private, ed25519.Ed25519PrivateKey):
            found = frozenset({LiveSignatureAlgorithm.ED25519})
        if not found or (algorithm is not None and algorithm not in found):
            raise MetadataError("this private key is not for any of the signature algorithms that may be meant")
        assert isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
        return cls(private, algorithm if algorithm is not None else max(found))

    @property
    def pem(self) -> bytes:
        """The private key in PEM (PKCS #8), not encrypted."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, plaintext: bytes) -> bytes:
        """The signature over `plaintext`, as in an RRSIG."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        private = self._private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(plaintext)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            size = _CURVE_OCTETS[self.algorithm]
            # RFC 6979: nothing is left to chance, neither the signature nor the secrecy of the key.
            scheme = ec.ECDSA(_hash(self.algorithm), deterministic_signing=True)
            r, s = decode_dss_signature(private.sign(plaintext, scheme))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return private.sign(plaintext, padding.PKCS1v15(), _hash(self.algorithm))


_CURVES = tuple(LiveSignatureAlgorithm(number) for number in _CURVE_OCTETS)


def _curve(algorithm: int) -> EllipticCurve:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.SECP256R1() if algorithm == LiveSignatureAlgorithm.ECDSAP256SHA256 else ec.SECP384R1()


def _hash(algorithm: int) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    match algorithm:
        case LiveSignatureAlgorithm.RSASHA1:
            return hashes.SHA1()
        case LiveSignatureAlgorithm.ECDSAP384SHA384:
            return hashes.SHA384()
    return hashes.SHA256()


def _public_key(algorithm: LiveSignatureAlgorithm, key: bytes) -> _Public:
    """Raises ValueError when `key`, of the right length, is no point of the curve or no RSA key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm in _RSA:
        exponent, modulus = _rsa_parts(key)
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    if algorithm in _CURVE_OCTETS:
        return ec.EllipticCurvePublicKey.from_encoded_point(_curve(algorithm), b"\4" + key)
    return ed25519.Ed25519PublicKey.from_public_bytes(key)


def _dnskey(public: _Public) -> bytes:
    """The Public Key field of a DNSKEY record."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        exponent, modulus = (n.to_bytes(-(-n.bit_length() // 8), "big") for n in (numbers.e, numbers.n))
        size = len(exponent)
        return (bytes((size,)) if size < 256 else b"\0" + size.to_bytes(2, "big")) + exponent + modulus
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)
