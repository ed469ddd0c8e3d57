"""Signed names: a publisher signs which object has a label, and whoever gets it verifies that."""

import base64
import hashlib

import attrs
import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from decade.cose import Algorithm, Ed25519SigningKey, Es256SigningKey
from decade.errors import DecodeError, ErrorCode
from decade.named import (
    MAX_SIGNATURE,
    PUBLIC_KEY,
    Binding,
    bind,
    named_path,
    public_key_info,
    publisher_of,
    read_digest,
    read_label,
    read_named_path,
    read_signature,
    verify,
)
from decade.names import name_of
from decade.values import SignedName

ED25519, ES256 = Ed25519SigningKey(bytes(range(32))), Es256SigningKey(bytes(range(1, 33)))
ED25519_NEW = Ed25519SigningKey(bytes(range(32)), Algorithm.ED25519)
HELLO, OTHER = name_of(b"Hello World!"), name_of(b"another object")
KEYS = (ED25519, ED25519_NEW, ES256)


def code_of(binding):
    with pytest.raises(DecodeError) as refused:
        verify(binding)
    return refused.value.code


def parts(binding):
    return list(cbor2.loads(binding.signature).value)


def rebuilt(binding, protected=None, unprotected=None, payload=None, signature=None, tag=18):
    """The same signature, with some parts of its structure replaced."""
    old = parts(binding)
    header = old[0] if protected is None else cbor2.dumps(protected, canonical=True)
    made = [header, old[1] if unprotected is None else unprotected, payload, signature or old[3]]
    return attrs.evolve(binding, signature=cbor2.dumps(cbor2.CBORTag(tag, made)))


@pytest.mark.parametrize("key", KEYS)
def test_what_a_publisher_has_signed_verifies_and_nothing_else_does(key):
    made = bind(key, b"live/1", HELLO)
    verify(made)
    assert len(made.signature) <= MAX_SIGNATURE
    assert read_signature(f" {made.text} ") == made.signature
    replayed = attrs.evolve(made, signed=SignedName(made.signed.publisher, b"live/2"))
    stolen = attrs.evolve(made, signed=SignedName(publisher_of(Ed25519SigningKey(bytes(32)).public), b"live/1"))
    for wrong in (attrs.evolve(made, name=OTHER), replayed, stolen):
        assert code_of(wrong) == ErrorCode.NAME_MISMATCH


@pytest.mark.parametrize("key", KEYS)
def test_a_publisher_is_the_hash_of_the_key_as_x509_has_it(key):
    private = (
        ec.derive_private_key(int.from_bytes(key.scalar), ec.SECP256R1())
        if isinstance(key, Es256SigningKey)
        else Ed25519PrivateKey.from_private_bytes(key.seed)
    )
    info = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_info(key.public) == info
    assert publisher_of(key.public).value == hashlib.sha256(info).digest()


@pytest.mark.parametrize("key", KEYS)
@given(data=st.data())
def test_no_bit_of_a_signature_can_change(key, data):
    made = bind(key, b"l", HELLO)
    at = data.draw(st.integers(0, 8 * len(made.signature) - 1))
    octets = bytearray(made.signature)
    octets[at // 8] ^= 1 << at % 8
    with pytest.raises(DecodeError):
        verify(attrs.evolve(made, signature=bytes(octets)))


@given(st.binary(max_size=MAX_SIGNATURE + 20))
def test_any_octets_are_refused_as_a_signature(octets):
    with pytest.raises(DecodeError):
        verify(Binding(SignedName(publisher_of(ED25519.public), b"l"), HELLO, octets))


def test_a_signature_has_its_key_and_its_algorithm_protected_and_nothing_more():
    made = bind(ED25519, b"l", HELLO)
    info = public_key_info(ED25519.public)
    assert cbor2.loads(parts(made)[0]) == {1: -8, PUBLIC_KEY: info}
    verify(rebuilt(made))
    malformed = (
        rebuilt(made, protected={1: -8}),
        rebuilt(made, protected={PUBLIC_KEY: info}),
        rebuilt(made, protected={1: -8, PUBLIC_KEY: info.hex()}),
        rebuilt(made, protected={1: -8, 4: b"k", PUBLIC_KEY: info}),
        rebuilt(made, protected={1: -8, 2: [PUBLIC_KEY], PUBLIC_KEY: info}),
        rebuilt(made, protected={1: -8}, unprotected={PUBLIC_KEY: info}),
        rebuilt(made, unprotected={4: b"k"}),
        rebuilt(made, payload=b""),
        rebuilt(made, tag=17),
        attrs.evolve(made, signature=cbor2.dumps(parts(made))),
        attrs.evolve(made, signature=made.signature + b"\x00"),
        attrs.evolve(made, signature=cbor2.dumps(cbor2.CBORTag(18, parts(made)[:3]))),
    )
    for wrong in malformed:
        assert code_of(wrong) == ErrorCode.MALFORMED
    assert code_of(rebuilt(made, protected={1: -19, PUBLIC_KEY: info})) == ErrorCode.NAME_MISMATCH
    assert code_of(rebuilt(made, protected={1: -7, PUBLIC_KEY: info})) == ErrorCode.NAME_MISMATCH
    assert code_of(rebuilt(made, protected={1: True, PUBLIC_KEY: info})) == ErrorCode.NAME_MISMATCH
    assert code_of(rebuilt(made, signature=bytes(64))) == ErrorCode.NAME_MISMATCH


def test_keys_of_other_kinds_are_refused_though_their_hash_is_the_publisher():
    made = bind(ED25519, b"l", HELLO)
    point = public_key_info(ES256.public)
    small = public_key_info(ED25519.public)[:12] + bytes(32)
    for info in (b"", b"\x30\x00", point[:-1], point[:27] + bytes(64), point + b"\x00", small, small[:-1]):
        wrong = rebuilt(made, protected={1: -8, PUBLIC_KEY: info})
        assert code_of(attrs.evolve(wrong, signed=SignedName(name_of(info), b"l"))) == ErrorCode.MALFORMED
    short = SignedName(publisher_of(ED25519.public).truncated("sha-256-32"), b"l")
    assert code_of(attrs.evolve(made, signed=short)) == ErrorCode.NAME_MISMATCH


@given(st.binary(min_size=1, max_size=64))
def test_a_path_says_which_name_it_is(label):
    signed = bind(ED25519, label, HELLO).signed
    assert read_named_path(named_path(signed)) == signed


@pytest.mark.parametrize("label", [b"", bytes(65)])
def test_a_label_has_1_to_64_octets(label):
    with pytest.raises(DecodeError):
        bind(ED25519, label, HELLO)
    with pytest.raises(DecodeError):
        read_label(base64.urlsafe_b64encode(label).rstrip(b"=").decode())


def test_a_label_has_one_spelling():
    assert read_label("bA") == b"l"
    for text in ("bB", "bA==", "b", "b+", "b/", "", "bA%", "é"):
        with pytest.raises(DecodeError):
            read_label(text)
    path = named_path(bind(ED25519, b"l", HELLO).signed)
    assert read_named_path("/.well-known/ni/sha-256/x") is read_named_path(path + "/more") is None
    for wrong in (path.replace("sha-256", "sha-256-32"), path.replace("sha-256", "md5"), path[:-1]):
        with pytest.raises(DecodeError):
            read_named_path(wrong)


def test_a_digest_of_the_object_is_read_from_among_others():
    assert read_digest(HELLO.repr_digest) == HELLO
    other = OTHER.repr_digest
    for sent in ("sha-512=:AAAA:, {}", "{},sha-512=:AAAA:", other + ", {}", "sha-256=?1,\t{} ;p=1", "sha-256=:A:, {}"):
        assert read_digest(sent.format(HELLO.repr_digest)) == HELLO
    with pytest.raises(DecodeError):
        read_digest(f"{HELLO.repr_digest}, sha-256=:AAAA:")
    for wrong in (None, "", "sha-256", "sha-256=:AAAA:", HELLO.repr_digest[:-1], "x" * 5000, "sha-512=:AAAA:"):
        with pytest.raises(DecodeError):
            read_digest(wrong)


def test_fields_without_a_signature_are_refused():
    for wrong in (None, "", "=", "A", "a" * 513, "bB"):
        with pytest.raises(DecodeError):
            read_signature(wrong)
