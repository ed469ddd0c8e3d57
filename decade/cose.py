"""Signed and authenticated octets: COSE_Sign1 and COSE_Mac0, and the keys for them (RFC 9052, 9053).

EdDSA with Ed25519, under its old number and its fully specified one; ES256, which is ECDSA on P-256 with SHA-256; and
HMAC 256/256, whose one key both makes and checks, so that whoever can verify can also mint.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from enum import IntEnum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from decade import cbor
from decade.errors import DecodeError
from decade.values import MAX_KID, CoseKey

MAC0, SIGN1 = 17, 18
"""Tags of the two structures."""
ALG, CRIT, KID, TYP = 1, 2, 4, 16
"""Labels of header parameters (RFC 9052 section 3.1, RFC 9596)."""
MAC_SIZE = 32
"""Octets of a tag, and the least of a key (RFC 9053 section 3.1)."""
_ED25519_SIZE = 32
_P256_SIZE = 32
_OKP, _EC2, _SYMMETRIC = 1, 2, 4
_P256, _ED25519 = 1, 6
_PRIME = 2**255 - 19
_P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""Where on the curve of Ed25519 the points of an order up to 8 are: for such a key anybody can make signatures."""
_VERIFY = 2
"""What a key may be for (RFC 9052 section 7.1)."""
_NO_PARAMETERS: Mapping[int | str, Any] = MappingProxyType({})
KEPT_HEADERS = 256
"""Protected headers that were read and are kept, of 4 KiB at most each: all tokens of a key have the same."""


class Algorithm(IntEnum):
    """Algorithms by their number at IANA."""

    ED25519 = -19
    EDDSA = -8
    ES256 = -7
    HMAC_256_256 = 5


def _thumbprint(key: CoseKey) -> bytes:
    """The SHA-256 of a key's required members (RFC 9679)."""
    return hashlib.sha256(cbor.encode(key)).digest()


@attrs.frozen(slots=False)
class Ed25519Key:
    """A public key, from its 32 octets. Its `kid` is its thumbprint."""

    octets: bytes = attrs.field(repr=lambda value: value.hex())
    algorithms: ClassVar[frozenset[Algorithm]] = frozenset({Algorithm.EDDSA, Algorithm.ED25519})
    tag: ClassVar[int] = SIGN1

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for another number of octets, and for keys that are no secret's."""
        if len(self.octets) != _ED25519_SIZE:
            raise DecodeError(f"a public key of Ed25519 has {_ED25519_SIZE} octets, not {len(self.octets)}")
        y = int.from_bytes(self.octets, "little") & (2**255 - 1)
        if y >= _PRIME:
            # RFC 8032 section 5.1.3: a key has one spelling, and so one thumbprint.
            raise DecodeError("a public key of Ed25519 that is no number of its field")
        if y in _SMALL_ORDER:
            raise DecodeError("a public key of Ed25519 of small order")

    @cached_property
    def cose_key(self) -> CoseKey:
        """The key as a COSE_Key (RFC 9053 section 7.2)."""
        return {1: _OKP, -1: _ED25519, -2: self.octets}

    @cached_property
    def thumbprint(self) -> bytes:
        """What tells this key from all others (RFC 9679)."""
        return _thumbprint(self.cose_key)

    @property
    def kid(self) -> bytes:
        """What a token calls this key."""
        return self.thumbprint

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.octets)

    def verify(self, octets: bytes, signature: bytes) -> bool:
        """Whether this is the signature of the octets."""
        try:
            self._key.verify(signature, octets)
        except InvalidSignature:
            return False
        return True


@attrs.frozen(slots=False)
class Ed25519SigningKey:
    """A private key, from its 32 octets. `algorithm`: the number by which its tokens name Ed25519."""

    seed: bytes = attrs.field(repr=False)
    algorithm: Algorithm = attrs.field(default=Algorithm.EDDSA, repr=False)
    tag: ClassVar[int] = SIGN1

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for another number of octets, and for an algorithm of other keys."""
        if len(self.seed) != _ED25519_SIZE:
            raise DecodeError(f"a private key of Ed25519 has {_ED25519_SIZE} octets, not {len(self.seed)}")
        if self.algorithm not in Ed25519Key.algorithms:
            raise DecodeError(f"a key of Ed25519 is not for algorithm {int(self.algorithm)}")

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> Ed25519Key:
        """The key for who verifies."""
        return Ed25519Key(self._key.public_key().public_bytes_raw())

    @property
    def kid(self) -> bytes:
        """What a token calls this key."""
        return self.public.kid

    def sign(self, octets: bytes) -> bytes:
        """The signature of the octets, always the same one."""
        return self._key.sign(octets)


@attrs.frozen(slots=False)
class Es256Key:
    """A public key on P-256, from its coordinates of 32 octets each. Its `kid` is its thumbprint.

    Of the two signatures (r, s) and (r, n - s) both are right: most signers make either, and a token is known by its
    key and its cti, never by its octets.
    """

    x: bytes = attrs.field(repr=lambda value: value.hex())
    y: bytes = attrs.field(repr=lambda value: value.hex())
    algorithms: ClassVar[frozenset[Algorithm]] = frozenset({Algorithm.ES256})
    tag: ClassVar[int] = SIGN1

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for other sizes, and for what is no point of the curve."""
        if len(self.x) != _P256_SIZE or len(self.y) != _P256_SIZE:
            raise DecodeError(f"a coordinate of P-256 has {_P256_SIZE} octets")
        if max(int.from_bytes(self.x), int.from_bytes(self.y)) >= _P256_PRIME:
            raise DecodeError("a coordinate that is no number of the field of P-256")
        try:
            self._key  # noqa: B018  the point is checked when the key is made
        except ValueError as exc:
            raise DecodeError("no point of P-256") from exc

    @cached_property
    def cose_key(self) -> CoseKey:
        """The key as a COSE_Key (RFC 9053 section 7.1), its point not compressed."""
        return {1: _EC2, -1: _P256, -2: self.x, -3: self.y}

    @cached_property
    def thumbprint(self) -> bytes:
        """What tells this key from all others (RFC 9679)."""
        return _thumbprint(self.cose_key)

    @property
    def kid(self) -> bytes:
        """What a token calls this key."""
        return self.thumbprint

    @cached_property
    def _key(self) -> ec.EllipticCurvePublicKey:
        x, y = int.from_bytes(self.x), int.from_bytes(self.y)
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def verify(self, octets: bytes, signature: bytes) -> bool:
        """Whether this is the signature of the octets: r and s of 32 octets each (RFC 9053 section 2.1)."""
        if len(signature) != 2 * _P256_SIZE:
            return False
        r, s = int.from_bytes(signature[:_P256_SIZE]), int.from_bytes(signature[_P256_SIZE:])
        try:
            self._key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@attrs.frozen(slots=False)
class Es256SigningKey:
    """A private key on P-256: its scalar in 32 octets."""

    scalar: bytes = attrs.field(repr=False)
    algorithm: ClassVar[Algorithm] = Algorithm.ES256
    tag: ClassVar[int] = SIGN1

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for another size, for zero, and for what is not below the order of the group."""
        try:
            if len(self.scalar) == _P256_SIZE:
                self._key  # noqa: B018  the scalar is checked when the key is made
                return
        except ValueError as exc:
            raise DecodeError("no private key of P-256") from exc
        raise DecodeError(f"a private key of P-256 has {_P256_SIZE} octets, not {len(self.scalar)}")

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.scalar), ec.SECP256R1())

    @cached_property
    def public(self) -> Es256Key:
        """The key for who verifies."""
        numbers = self._key.public_key().public_numbers()
        return Es256Key(numbers.x.to_bytes(_P256_SIZE), numbers.y.to_bytes(_P256_SIZE))

    @property
    def kid(self) -> bytes:
        """What a token calls this key."""
        return self.public.kid

    def sign(self, octets: bytes) -> bytes:
        """The signature of the octets, always the same one (RFC 6979)."""
        r, s = decode_dss_signature(self._key.sign(octets, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return r.to_bytes(_P256_SIZE) + s.to_bytes(_P256_SIZE)


@attrs.frozen(slots=False)
class HmacKey:
    """A key that two share. Its `kid` comes from the server that gave it, at random: 1 to 64 octets."""

    secret: bytes = attrs.field(repr=False)
    kid: bytes
    algorithm: ClassVar[Algorithm] = Algorithm.HMAC_256_256
    algorithms: ClassVar[frozenset[Algorithm]] = frozenset({Algorithm.HMAC_256_256})
    tag: ClassVar[int] = MAC0

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for a short key, and for a `kid` that no token can have."""
        if len(self.secret) < MAC_SIZE:
            raise DecodeError(f"a key of HMAC 256/256 has {MAC_SIZE} octets at least, not {len(self.secret)}")
        if not 1 <= len(self.kid) <= MAX_KID:
            raise DecodeError(f"a key identifier has 1 to {MAX_KID} octets, not {len(self.kid)}")

    @cached_property
    def thumbprint(self) -> bytes:
        """What tells this key from all others. It stays with the server: a weak secret could be found from it."""
        return _thumbprint({1: _SYMMETRIC, -1: self.secret})

    def sign(self, octets: bytes) -> bytes:
        """The tag of the octets."""
        return hmac.digest(self.secret, octets, "sha256")

    def verify(self, octets: bytes, signature: bytes) -> bool:
        """Whether this is the tag of the octets, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self.sign(octets), signature)


PublicKey: TypeAlias = Ed25519Key | Es256Key
SigningKey: TypeAlias = Ed25519SigningKey | Es256SigningKey | HmacKey
VerifyingKey: TypeAlias = PublicKey | HmacKey


def read_public_key(key: CoseKey) -> PublicKey:
    """The public key that a COSE_Key has (RFC 9052 section 7). Raises DecodeError.

    A secret in it is secret no more, so it proves nothing: symmetric keys and private ones are refused.
    """
    match key:
        case {1: 1, -1: 6, -2: bytes(octets)}:
            found: PublicKey = Ed25519Key(octets)
        case {1: 2, -1: 1, -2: bytes(x), -3: bytes(y)}:
            found = Es256Key(x, y)
        case _:
            raise DecodeError("COSE_Key: neither of Ed25519 nor of P-256 with both coordinates")
    if -4 in key:
        raise DecodeError("COSE_Key: a private key")
    # True == 1 in Python: the types of the numbers count, exactly.
    if type(key[1]) is not int or type(key[-1]) is not int:
        raise DecodeError("COSE_Key: its type or its curve is no number")
    if 3 in key and (type(key[3]) is not int or key[3] not in found.algorithms):
        raise DecodeError("COSE_Key: for another algorithm")
    if 4 in key and (type(key[4]) is not tuple or _VERIFY not in key[4]):
        raise DecodeError("COSE_Key: not to verify with")
    return found


_BEFORE: Mapping[int, bytes] = MappingProxyType(
    {SIGN1: b"\x84" + cbor.encode("Signature1"), MAC0: b"\x84" + cbor.encode("MAC0")}
)
"""The head of the structure that is signed, and its first entry, the context."""
_NO_AAD = cbor.encode(b"")


@attrs.frozen
class CoseMessage:
    """A COSE_Sign1 or COSE_Mac0 (`tag`) that was read, but not verified.

    `protected` are the octets of `header`; `signature` is that, or the tag of a MAC.
    """

    tag: int
    protected: bytes
    header: Mapping[int | str, Any]
    unprotected: Mapping[int | str, Any]
    payload: bytes
    signature: bytes = attrs.field(repr=False)

    @property
    def signed(self) -> bytes:
        """The octets that are signed: Sig_structure or MAC_structure (RFC 9052 sections 4.4 and 6.3)."""
        return signed_octets(self.tag, self.protected, self.payload)


def signed_octets(tag: int, protected: bytes, payload: bytes) -> bytes:
    """The octets that are signed, without external data."""
    # Each token that is verified comes by here: the array of four is put together from the spellings of its entries.
    return _BEFORE[tag] + cbor.head_of(protected) + protected + _NO_AAD + cbor.head_of(payload) + payload


@lru_cache(maxsize=KEPT_HEADERS)
def _read_header(protected: bytes) -> Mapping[int | str, Any]:
    # RFC 9052 section 3: an empty map is written as no octets at all.
    header = cbor.decode(protected) if protected else _NO_PARAMETERS
    if not cbor.is_map(header):
        raise DecodeError("COSE: the protected header is no map")
    return header


def read_cose(value: Any) -> CoseMessage:
    """A tagged structure, as CBOR has it. Raises DecodeError.

    A label in both buckets is refused (RFC 9052 section 3), and so is `crit`: it names parameters that a reader must
    know, and we know none.
    """
    if type(value) is not cbor.Tag or value.tag not in _BEFORE:
        raise DecodeError("COSE: neither a COSE_Sign1 nor a COSE_Mac0 with its tag")
    parts = value.value
    if type(parts) is not tuple or len(parts) != 4:
        raise DecodeError("COSE: no array of four")
    protected, unprotected, payload, signature = parts
    if not (type(protected) is type(payload) is type(signature) is bytes and cbor.is_map(unprotected)):
        raise DecodeError("COSE: no array of protected, unprotected, payload and signature")
    header = _read_header(protected)
    if twice := header.keys() & unprotected.keys():
        raise DecodeError(f"COSE: {len(twice)} labels are in both buckets")
    if CRIT in header or CRIT in unprotected:
        raise DecodeError("COSE: crit names parameters that are not known")
    return CoseMessage(value.tag, protected, header, unprotected, payload, signature)


def secure(payload: bytes, header: Mapping[int | str, Any], key: SigningKey) -> cbor.Tag:
    """The payload, signed or with a MAC, as the key is for. Raises EncodeError."""
    protected = cbor.encode(header)
    signature = key.sign(signed_octets(key.tag, protected, payload))
    return cbor.Tag(key.tag, (protected, {}, payload, signature))
