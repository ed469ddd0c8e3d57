"""Signed names: an object is named by who has signed it, and a label (PROFILE.md 14.14; RFC 7069 sections 4.3, 8.3).

What a live stream is made of can be named before it is there. Who fetches it trusts the publisher's key alone. The name
has the hash of that (RFC 6920 section 2); the key itself travels with the signature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from decade import cbor
from decade.cose import (
    ALG,
    SIGN1,
    Algorithm,
    CoseMessage,
    Ed25519Key,
    Ed25519SigningKey,
    Es256Key,
    Es256SigningKey,
    PublicKey,
    read_cose,
    secure,
)
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import MAX_FIELD
from decade.names import SHA_256, Name, name_of, read_path
from decade.settings import DRP_PATH
from decade.values import MAX_COLLECTION, SignedName

SIGNATURE_FIELD = "Decade-Signature"
"""The header field with the signature of an object that has a signed name."""
MAX_SIGNATURE = 384
"""Octets of a signature with its key: with P-256 it has 172, and a store keeps it with each name."""
MAX_NAMES = 16
"""Signed names of one object: half a KiB each in the index of a store, which nobody is charged for."""
PUBLIC_KEY: Final = -70694
"""Label of the publisher's SubjectPublicKeyInfo, in the protected header."""
_ED25519_INFO = bytes.fromhex("302a300506032b6570032100")
_P256_INFO = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""DER has one spelling of these up to the key (RFC 8410 section 4; RFC 5480 section 2, its point not compressed)."""
_TAGS = frozenset({SIGN1})
_DIGEST = re.compile(r":([A-Za-z0-9+/]{43}=):")
_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_PATH = re.compile(re.escape(DRP_PATH) + r"named/([^/?#]+)/([^/?#]+)/([^/?#]+)")
PublisherKey: TypeAlias = Ed25519SigningKey | Es256SigningKey


@attrs.frozen
class Binding:
    """A signed name, the hash of the object that it names, and the COSE_Sign1 over both, as it travels."""

    signed: SignedName
    name: Name
    signature: bytes = attrs.field(repr=False)

    @property
    def text(self) -> str:
        """The value of Decade-Signature."""
        return _text(self.signature)


def public_key_info(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo of a key, in DER."""
    return _ED25519_INFO + key.octets if isinstance(key, Ed25519Key) else _P256_INFO + key.x + key.y


def publisher_of(key: PublicKey) -> Name:
    """The name of a publisher: that of its SubjectPublicKeyInfo."""
    return name_of(public_key_info(key))


def named_path(signed: SignedName) -> str:
    """The path of a signed name at any server."""
    return f"{DRP_PATH}named/{signed.publisher.algorithm}/{signed.publisher.text}/{_text(signed.label)}"


def read_named_path(path: str) -> SignedName | None:
    """The signed name of such a path, None for another one. Raises DecodeError for one that is none."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    publisher = read_path(f"/.well-known/ni/{found[1]}/{found[2]}").name
    if not publisher.is_whole:
        raise DecodeError(f"{publisher.algorithm} names no publisher", ErrorCode.DIGEST_UNSUPPORTED)
    return SignedName(publisher, read_label(found[3]))


def read_label(text: str) -> bytes:
    """The label in a path, in base64url. Raises DecodeError."""
    label = _octets(text, "label", MAX_COLLECTION)
    if not label:
        raise DecodeError("a label has an octet at least")
    return label


def bind(key: PublisherKey, label: bytes, name: Name) -> Binding:
    """Give an object a label, as its publisher. Raises DecodeError for a label of no octets, or of over 64."""
    if not 1 <= len(label) <= MAX_COLLECTION:
        raise DecodeError(f"a label has 1 to {MAX_COLLECTION} octets")
    signed = SignedName(publisher_of(key.public), label)
    header: dict[int | str, Any] = {ALG: int(key.algorithm), PUBLIC_KEY: public_key_info(key.public)}
    protected, unprotected, _, signature = secure(_payload(signed, name), header, key).value
    detached = cbor.Tag(SIGN1, (protected, unprotected, None, signature))
    return Binding(signed, name, cbor.encode(detached, tags=_TAGS))


def read_digest(field: str | None) -> Name:
    """The name of an object that is to come, by its Repr-Digest (RFC 9530 section 3). Raises DecodeError."""
    found = None
    for member in (field or "").split(",") if len(field or "") <= MAX_FIELD else ():
        key, _, value = member.partition(";")[0].strip(" \t").partition("=")
        if key == "sha-256":
            # RFC 9651 section 3.2: of members with one key the last one is the value.
            found = _DIGEST.fullmatch(value)
    if found is None:
        raise DecodeError("Repr-Digest: sha-256 is needed")
    return Name(SHA_256, base64.b64decode(found[1]))


def read_signature(field: str | None) -> bytes:
    """The octets of Decade-Signature; `verify` says whether they are a signature. Raises DecodeError."""
    if field is None:
        raise DecodeError(f"{SIGNATURE_FIELD} is needed")
    return _octets(field.strip(" \t"), SIGNATURE_FIELD, MAX_SIGNATURE)


def verify(binding: Binding) -> None:
    """Whether the publisher has signed that this object has this label.

    Raises DecodeError: MALFORMED for what is no detached COSE_Sign1 with a key, NAME_MISMATCH for another publisher's
    key, and for what that has not signed.
    """
    message = _read(binding)
    info = message.header.get(PUBLIC_KEY)
    if type(info) is not bytes or message.header.keys() != {ALG, PUBLIC_KEY} or message.unprotected:
        raise DecodeError(
            f"{SIGNATURE_FIELD}: the algorithm and the publisher's key are due, both protected, and no more"
        )
    if not binding.signed.publisher.is_whole or not binding.signed.publisher.matches(info):
        raise DecodeError(f"{SIGNATURE_FIELD}: the key of another publisher", ErrorCode.NAME_MISMATCH)
    key, algorithm = _read_info(info), message.header[ALG]
    if type(algorithm) is not int or algorithm not in _ALGORITHMS[type(key)]:
        raise DecodeError(f"{SIGNATURE_FIELD}: its algorithm is not that of its key", ErrorCode.NAME_MISMATCH)
    if not key.verify(message.signed, message.signature):
        raise DecodeError(f"{SIGNATURE_FIELD}: not of this name and these octets", ErrorCode.NAME_MISMATCH)


def too_many_names() -> RefusedError:
    """An object has all the signed names that it may have."""
    reason = f"an object has up to {MAX_NAMES} signed names"
    return RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, reason, limit=MAX_NAMES)


_ALGORITHMS: Mapping[type, frozenset[Algorithm]] = MappingProxyType(
    {Ed25519Key: Ed25519Key.algorithms, Es256Key: Es256Key.algorithms}
)


def _payload(signed: SignedName, name: Name) -> bytes:
    return cbor.encode((signed.publisher.binary, signed.label, name.value))


def _read(binding: Binding) -> CoseMessage:
    value = cbor.decode(binding.signature, max_size=MAX_SIGNATURE, tags=_TAGS)
    match value:
        case cbor.Tag(tag=18, value=(protected, unprotected, None, signature)):
            payload = _payload(binding.signed, binding.name)
            return read_cose(cbor.Tag(SIGN1, (protected, unprotected, payload, signature)))
    raise DecodeError(f"{SIGNATURE_FIELD}: no COSE_Sign1 whose payload is detached")


def _read_info(info: bytes) -> PublicKey:
    if info.startswith(_ED25519_INFO):
        return Ed25519Key(info.removeprefix(_ED25519_INFO))
    if info.startswith(_P256_INFO):
        point = info.removeprefix(_P256_INFO)
        return Es256Key(point[:32], point[32:])
    raise DecodeError(f"{SIGNATURE_FIELD}: a key neither of Ed25519 nor of P-256")


def _octets(text: str, what: str, most: int) -> bytes:
    if not _TEXT.fullmatch(text) or len(text) > -(-most * 8 // 6):
        raise DecodeError(f"{what}: no base64url of up to {most} octets")
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise DecodeError(f"{what}: no base64url") from exc
    if _text(octets) != text:
        raise DecodeError(f"{what}: its last character has bits that belong to no octet")
    return octets


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
