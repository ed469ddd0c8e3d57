"""Keys of DECADE in files, told apart by what is there.

PEM, a COSE_Key, the base64url of a public key of Ed25519; for HMAC a COSE_Key or a JSON Web Key, each with its kid.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from decade import cbor
from decade.cose import (
    Ed25519Key,
    Ed25519SigningKey,
    Es256Key,
    Es256SigningKey,
    HmacKey,
    PublicKey,
    SigningKey,
    VerifyingKey,
    read_public_key,
)
from decade.errors import DecodeError

MAX_KEY_FILE = 64 * 1024
"""Octets of a file that is read as a key: it may be a PEM file with certificates beside the key."""
_PUBLIC = re.compile(rb"[A-Za-z0-9_-]{43}=?")
_KNOWN = (
    "PEM or a COSE_Key of Ed25519 or P-256, base64url of a public key of Ed25519, "
    "for HMAC a COSE_Key or JSON Web Key with a kid"
)


class KeyFileError(ValueError):
    """What is wrong with a key, in one sentence that names its file."""


def read_verifying_key(path: Path) -> VerifyingKey:
    """The key that tokens are verified with; of a private key its public part. Raises KeyFileError."""
    return verifying_key(_read(path))


def read_signing_key(path: Path) -> SigningKey:
    """The key that tokens are made with. Raises KeyFileError."""
    key = _read(path)
    if isinstance(key, Ed25519Key | Es256Key):
        raise KeyFileError(f"{path}: a public key makes no tokens, the private one is due")
    return key


def read_holder(text: str) -> PublicKey:
    """The public key of who is to hold a token: in a file, or the base64url of one of Ed25519. Raises KeyFileError."""
    if _PUBLIC.fullmatch(text.encode()) is not None:
        try:
            return public_key_of_text(text)
        except ValueError as error:
            raise KeyFileError(str(error)) from error
    key = read_verifying_key(Path(text))
    if isinstance(key, HmacKey):
        raise KeyFileError(f"{text}: a shared secret proves nothing: a key of Ed25519 or P-256 is due")
    return key


def verifying_key(key: SigningKey | VerifyingKey) -> VerifyingKey:
    """What verifies the tokens of a key."""
    return key.public if isinstance(key, Ed25519SigningKey | Es256SigningKey) else key


def public_key_of_text(text: str) -> Ed25519Key:
    """A public key of Ed25519 from its base64url. Raises ValueError."""
    if _PUBLIC.fullmatch(text.encode()) is None:
        raise ValueError("43 characters of base64url are due, the 32 octets of a public key of Ed25519")
    try:
        return Ed25519Key(base64.urlsafe_b64decode(text.rstrip("=") + "="))
    except DecodeError as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> SigningKey | VerifyingKey:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_KEY_FILE + 1)
        return _key(octets)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or error}") from error
    except (DecodeError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        # TypeError is what the library raises for a key that a password protects.
        raise KeyFileError(f"{path}: no key that is known here ({_KNOWN}): {error}") from error


def _key(octets: bytes) -> SigningKey | VerifyingKey:
    if len(octets) > MAX_KEY_FILE:
        raise ValueError(f"more than {MAX_KEY_FILE} octets")
    if b"-----BEGIN" in octets:
        return _pem(octets)
    if octets.lstrip().startswith(b"{"):
        return _jwk(json.loads(octets))
    if _PUBLIC.fullmatch(octets.strip()):
        return public_key_of_text(octets.strip().decode())
    value = cbor.decode(octets)
    if not isinstance(value, Mapping):
        raise DecodeError("no map")
    return _cose(value)


def _pem(octets: bytes) -> SigningKey | PublicKey:
    is_private = b"PRIVATE KEY-----" in octets
    match load_pem_private_key(octets, None) if is_private else load_pem_public_key(octets):
        case Ed25519PrivateKey() as private:
            return Ed25519SigningKey(private.private_bytes_raw())
        case Ed25519PublicKey() as public:
            return Ed25519Key(public.public_bytes_raw())
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()) as private_ec:
            return Es256SigningKey(private_ec.private_numbers().private_value.to_bytes(32))
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) as public_ec:
            numbers = public_ec.public_numbers()
            return Es256Key(numbers.x.to_bytes(32), numbers.y.to_bytes(32))
    raise ValueError("a key for another algorithm")


def _jwk(key: Any) -> HmacKey:
    """A symmetric key as a JSON Web Key (RFC 7518 section 6.4)."""
    match key:
        case {"kty": "oct", "kid": str(kid), "k": str(secret)}:
            # What is no base64url must not be skipped: the key would be another one, or a short one.
            octets = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
            return HmacKey(octets, kid.encode())
    raise ValueError("a JSON Web Key is for HMAC here: kty oct, kid and k")


def _cose(key: Mapping[int | str, Any]) -> SigningKey | VerifyingKey:
    match key:
        case {1: 4, 2: bytes(kid), -1: bytes(secret)}:
            return HmacKey(secret, kid)
        case {1: 4}:
            raise DecodeError("a symmetric key without its kid (2) or its octets (-1)")
        case {1: 1, -1: 6, -4: bytes(seed)}:
            return Ed25519SigningKey(seed)
        case {1: 2, -1: 1, -4: bytes(scalar)}:
            return Es256SigningKey(scalar)
    return read_public_key(key)
