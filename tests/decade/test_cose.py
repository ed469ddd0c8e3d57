"""COSE_Sign1 and COSE_Mac0: the examples of RFC 8392, keys, and what is refused in any structure."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from decade_tokens import MAC, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.cose import (
    ALG,
    KID,
    MAC0,
    SIGN1,
    Algorithm,
    Ed25519Key,
    Ed25519SigningKey,
    Es256Key,
    Es256SigningKey,
    HmacKey,
    read_cose,
    read_public_key,
    secure,
)
from decade.errors import DecodeError

CLAIMS = (
    "a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e63"
    "6f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71"
)
# RFC 8392 appendix A.3, and A.4 without its outer tag.
SIGNED = (
    "d28443a10126a104524173796d6d657472696345434453413235365850" + CLAIMS + "5840"
    "5427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b63632"
    "c57209120e1c9e30"
)
MACED = "d18443a10104a1044c53796d6d65747269633235365850" + CLAIMS + "48093101ef6d789200"
P256 = ec.EllipticCurvePublicNumbers(
    0x143329CCE7868E416927599CF65A34F3CE2FFDA55A7ECA69ED8919A394D42F0F,
    0x60F7F1A780D8A783BFB7A2DD6B2796E8128DBBCEF9D3D168DB9529971A36E7B9,
    ec.SECP256R1(),
).public_key()
TAGS = frozenset({MAC0, SIGN1})


def read(octets):
    return read_cose(cbor.decode(octets, tags=TAGS))


def test_the_signed_example_of_rfc_8392_is_read_and_its_signature_is_of_the_octets_that_we_say():
    message = read(bytes.fromhex(SIGNED))
    assert message.tag == SIGN1
    assert message.header == {ALG: -7}
    assert message.unprotected == {KID: b"AsymmetricECDSA256"}
    assert message.payload.hex() == CLAIMS
    r, s = (int.from_bytes(half) for half in (message.signature[:32], message.signature[32:]))
    P256.verify(encode_dss_signature(r, s), message.signed, ec.ECDSA(SHA256()))


def test_the_maced_example_of_rfc_8392_is_read_and_its_tag_is_of_the_octets_that_we_say():
    message = read(bytes.fromhex(MACED))
    assert message.tag == MAC0
    assert message.header == {ALG: 4}
    # HMAC 256/64: the tag of HMAC 256/256, cut short.
    assert hmac.digest(MAC.secret, message.signed, "sha256")[:8] == message.signature
    assert MAC.sign(message.signed)[:8] == message.signature


def test_the_key_of_rfc_8032_signs_as_there_and_has_the_thumbprint_of_its_cose_key():
    assert SIGNING.public.octets.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SIGNING.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    # RFC 9679: the required members in deterministic CBOR, by hand.
    spelled = bytes.fromhex("a301012006215820") + SIGNING.public.octets
    assert SIGNING.public.thumbprint == SIGNING.kid == hashlib.sha256(spelled).digest()
    assert SIGNING.kid.hex() == "866eefbd6718c8846cd7ddfe43fc74ab1daac4538ff8514ea2ec2d410a415743"
    assert MAC.thumbprint == hashlib.sha256(bytes.fromhex("a20104205820") + MAC.secret).digest()


def test_keys_of_another_size_are_refused_and_secrets_are_not_shown():
    for make in (Ed25519Key, Ed25519SigningKey, lambda octets: HmacKey(octets, b"k")):
        with pytest.raises(DecodeError, match="32 octets"):
            make(bytes(31))
    for kid in (b"", bytes(65)):
        with pytest.raises(DecodeError, match="identifier"):
            HmacKey(bytes(32), kid)
    assert repr(MAC) == "HmacKey(kid=b'Symmetric256')"
    assert repr(SIGNING) == "Ed25519SigningKey()"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_is_secured_is_read_and_verified_and_nothing_else_is(payload, other):
    for key, verifying in ((SIGNING, SIGNING.public), (MAC, MAC)):
        octets = cbor.encode(secure(payload, {ALG: int(key.algorithm)}, key), tags=TAGS)
        message = read(octets)
        assert message.payload == payload
        assert verifying.verify(message.signed, message.signature)
        assert not verifying.verify(message.signed + b"\x00", message.signature)
        assert verifying.verify(other, message.signature) == (other == message.signed)
        assert not verifying.verify(message.signed, other)


def test_a_signature_of_one_context_is_none_in_the_other():
    signed = secure(b"x", {ALG: 5}, MAC)
    message = read_cose(cbor.decode(cbor.encode(cbor.Tag(SIGN1, signed.value), tags=TAGS), tags=TAGS))
    assert not MAC.verify(message.signed, message.signature)


def structure(protected=b"\xa1\x01\x27", unprotected=None, payload=b"", signature=b"", tag=SIGN1):
    return cbor.Tag(tag, (protected, {} if unprotected is None else unprotected, payload, signature))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (structure(tag=98), "tag"),
        ((b"", {}, b"", b""), "tag"),
        (None, "tag"),
        (cbor.Tag(SIGN1, (b"", {}, b"")), "array"),
        (cbor.Tag(SIGN1, (b"", {}, b"", b"", b"")), "array"),
        (cbor.Tag(SIGN1, {}), "array"),
        (structure(payload=None), "array"),
        (structure(unprotected=()), "array"),
        (structure(protected={}), "array"),
        (structure(protected=b"\x01"), "no map"),
        (structure(protected=b"\xa2\x04\x41\x00\x01\x27"), "order"),
        (structure(unprotected={1: -8}), "both buckets"),
        (structure(protected=b"\xa2\x01\x27\x02\x81\x04"), "crit"),
        (structure(unprotected={2: (4,)}), "crit"),
    ],
)
def test_what_is_no_cose_or_ambiguous_is_refused(value, why):
    with pytest.raises(DecodeError, match=why):
        read_cose(value)


def test_an_empty_protected_header_is_no_octets():
    assert read_cose(structure(protected=b"")).header == {}


# RFC 6979 appendix A.2.5.
ES256 = Es256SigningKey(bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_key_of_rfc_6979_signs_as_there_and_has_the_thumbprint_of_its_cose_key():
    x = bytes.fromhex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")
    y = bytes.fromhex("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")
    assert ES256.public == Es256Key(x, y)
    assert ES256.sign(b"sample").hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    spelled = bytes.fromhex("a401022001215820") + x + bytes.fromhex("225820") + y
    assert ES256.kid == ES256.public.thumbprint == hashlib.sha256(spelled).digest()


def test_both_signatures_of_es256_are_right_and_no_other_spelling_of_them():
    signature = ES256.sign(b"sample")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    assert s > ORDER // 2
    low = signature[:32] + (ORDER - s).to_bytes(32)
    verify = ES256.public.verify
    assert verify(b"sample", signature)
    assert verify(b"sample", low)
    assert not any(verify(b"sample", octets) for octets in (b"", signature[:63], signature + b"\x00", bytes(64)))
    assert not verify(b"sample", encode_dss_signature(r, s))
    assert not verify(b"sample", (r + ORDER).to_bytes(33)[-32:] + signature[32:])
    assert not verify(b"sample", bytes(32) + signature[32:])
    assert not verify(b"sample", signature[:32] + bytes(32))


def test_keys_that_are_none_of_p_256_are_refused():
    public = ES256.public
    for x, y in (
        (public.y, public.x),
        (public.x[:31], public.y),
        (public.x, b"\x00" + public.y),
        (bytes(32), bytes(32)),
    ):
        with pytest.raises(DecodeError):
            Es256Key(x, y)
    for scalar in (bytes(32), ORDER.to_bytes(32), b"\xff" * 32, bytes(31), b"\x01" * 33):
        with pytest.raises(DecodeError):
            Es256SigningKey(scalar)
    assert repr(ES256) == "Es256SigningKey()"


def test_keys_of_ed25519_of_small_order_are_refused():
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime
    # The points of order 8 are those whose double has y = 0: d y^4 + 2 y^2 = 1 on the curve.
    one = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    order_8 = (one, prime - one)
    assert all((d * y**4 + 2 * y**2 - 1) % prime == 0 for y in order_8)
    for y in (0, 1, prime - 1, prime, prime + 1, *order_8):
        for sign in (0, 1 << 255):
            with pytest.raises(DecodeError, match=r"small order|its field"):
                Ed25519Key((y | sign).to_bytes(32, "little"))


def test_a_point_has_one_spelling_so_that_a_key_has_one_thumbprint():
    p256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
    x, y = 5, 0x459243B9AA581806FE913BCE99817ADE11CA503C64D9A3C533415C083248FBCC
    good = Es256Key(x.to_bytes(32), y.to_bytes(32))
    assert read_public_key(good.cose_key) == good
    with pytest.raises(DecodeError):
        Es256Key((x + p256).to_bytes(32), y.to_bytes(32))
    for number in range(2, 19):
        with pytest.raises(DecodeError, match="field"):
            Ed25519Key((number + 2**255 - 19).to_bytes(32, "little"))


def test_an_ed25519_key_goes_by_two_numbers_of_its_algorithm():
    specified = Ed25519SigningKey(SIGNING.seed, Algorithm.ED25519)
    assert specified.kid == SIGNING.kid
    assert specified.sign(b"x") == SIGNING.sign(b"x")
    with pytest.raises(DecodeError, match="-7"):
        Ed25519SigningKey(SIGNING.seed, Algorithm.ES256)


def test_a_cose_key_is_the_public_key_that_it_has():
    for key in (SIGNING.public, ES256.public):
        assert read_public_key(key.cose_key) == key
        assert read_public_key({**key.cose_key, 2: b"kid", 99: "x"}) == key
    good = ES256.public.cose_key
    for wrong in ({**good, 1: True}, {**good, -1: True}, {**good, -3: True}, {**good, 3: -8}, {**good, 3: True}, {}):
        with pytest.raises(DecodeError):
            read_public_key(wrong)
