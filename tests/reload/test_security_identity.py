"""PLACEHOLDER"""

from collections.abc import Iterator

import attrs
import pytest
from reload_hostile import (
    ATTACKER,
    BAD,
    PRIVATE,
    Attacker,
    Ring,
    bucket,
    impostor,
    place,
    self_made,
    signer,
    store_of,
    stored,
    twisted,
    unharmed,
)
from reload_identities import ALICE, NOW, OVERLAY, authority, issue, key

from reload.contents import ErrorCode, MessageCode
from reload.destinations import NodeDestination
from reload.errors import SecurityError
from reload.message import Message, decode_message
from reload.methods import JoinReq, LeaveReq, PingReq
from reload.naming import overlay_hash
from reload.ports import Signer
from reload.security_block import (
    CertificateHash,
    SecurityBlock,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from reload.signing import KeySigner, encode_signed

VICTIM = place(0)
OTHER = place(1)


@pytest.fixture
def ring() -> Iterator[Ring]:
    with unharmed() as made:
        yield made


def _with_several() -> KeySigner:
    certificate = issue([ATTACKER, (9).to_bytes(16, "big")], name="several")
    return KeySigner(key("several"), [certificate], OVERLAY)


def _named(of: KeySigner, kind: SignerIdentityType) -> SignerIdentity:
    """The signer's own hash under another type."""
    return SignerIdentity(kind, of.sign(b"").identity.identity)


CERTIFICATES = {
    "self-signed, the Node-ID of another": self_made(OTHER),
    "self-signed, a Node-ID of its own": self_made(ATTACKER),
    "from the root, for another overlay": impostor(OTHER, overlay="other.example.org"),
    "from an authority that no root leads to": impostor(OTHER, by=authority("stranger")),
    "issued by a node with its own certificate": impostor(
        OTHER, by=attrs.evolve(authority(), key=key("several"), certificate=authority().certificate)
    ),
    "expired": impostor(OTHER, not_after=NOW - 1),
    "not valid yet": impostor(OTHER, not_before=NOW + 3000),
    "of the bad-node list": signer(BAD),
}
"""Whom nobody may believe, though every signature is right."""


def _hash_node_id(of: KeySigner) -> SignerIdentity:
    import hashlib

    digest = hashlib.sha256(of.node_id + of.certificates[0].certificate).digest()
    return SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, CertificateHash(4, digest))


def _own_hash(of: KeySigner) -> SignerIdentity:
    import hashlib

    digest = hashlib.sha256(of.certificates[0].certificate).digest()
    return SignerIdentity(SignerIdentityType.CERT_HASH, CertificateHash(4, digest))


HONEST, SEVERAL = signer(ATTACKER), _with_several()
SIGNATURES: dict[str, Signer] = {
    "wrong cert_hash: of a certificate that is not there": twisted(
        HONEST, SignerIdentity(SignerIdentityType.CERT_HASH, CertificateHash(4, bytes(32)))
    ),
    "wrong cert_hash: of another's certificate, which is there": twisted(
        HONEST, signer(OTHER).sign(b"").identity, certificates=bucket(HONEST, signer(OTHER)), node_id=OTHER
    ),
    "cert_hash_node_id where cert_hash is due": twisted(HONEST, _hash_node_id(HONEST)),
    "cert_hash where cert_hash_node_id is due": twisted(SEVERAL, _own_hash(SEVERAL)),
    "cert_hash under the type of cert_hash_node_id": twisted(
        HONEST, _named(HONEST, SignerIdentityType.CERT_HASH_NODE_ID)
    ),
    "identity none": twisted(HONEST, SignerIdentity(SignerIdentityType.NONE, None)),
    "an identity of an unknown type": twisted(HONEST, SignerIdentity(77, b"me")),
    "algorithm {0,0}": twisted(
        HONEST, change=lambda made: attrs.evolve(made, algorithm=SignatureAndHashAlgorithm(0, 0))
    ),
    "algorithm {0,0}, identity none, no value": twisted(
        HONEST,
        SignerIdentity(SignerIdentityType.NONE, None),
        change=lambda made: attrs.evolve(made, algorithm=SignatureAndHashAlgorithm(0, 0), signature_value=b""),
    ),
    "SHA-1": twisted(HONEST, change=lambda made: attrs.evolve(made, algorithm=SignatureAndHashAlgorithm(2, 3))),
    "RSA said of ECDSA": twisted(
        HONEST, change=lambda made: attrs.evolve(made, algorithm=SignatureAndHashAlgorithm(4, 1))
    ),
    "no value": twisted(HONEST, change=lambda made: attrs.evolve(made, signature_value=b"")),
    "no certificate": twisted(HONEST, certificates=()),
}
"""Signatures that do not hold, of somebody who might sign."""


def _silent(ring: Ring, attacker: Attacker, by: Signer) -> None:
    """Nothing that this signer says is answered, and nothing comes of it."""
    mine = stored(b"forged", 10**15, by=signer(OTHER))
    for code, body in (
        (MessageCode.PING_REQ, PingReq()),
        (MessageCode.STORE_REQ, store_of(mine)),
        (MessageCode.LEAVE_REQ, LeaveReq(OTHER)),
        (MessageCode.JOIN_REQ, JoinReq(OTHER)),
    ):
        ring.drops(0)
        assert attacker.send(code, body, signer=by, transaction=ring.transaction()) == []
        assert len(ring.drops(0)) == 1


def test_the_attacker_is_heard_as_long_as_it_says_who_it_is(ring: Ring) -> None:
    """What the others here are measured against."""
    attacker = ring.attacker()
    (answer,) = attacker.send(MessageCode.PING_REQ, PingReq())
    assert answer.contents.message_code == MessageCode.PING_ANS


@pytest.mark.parametrize("by", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_nothing_comes_of_messages_by_a_certificate_that_does_not_hold(ring: Ring, by: KeySigner) -> None:
    _silent(ring, ring.attacker(), by)


@pytest.mark.parametrize("by", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_no_link_is_made_with_a_certificate_that_does_not_hold(ring: Ring, by: KeySigner) -> None:
    with pytest.raises(SecurityError):
        ring.attacker(node_id=by.node_id, by=by)


@pytest.mark.parametrize("by", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_nothing_comes_of_messages_whose_signature_does_not_hold(ring: Ring, by: Signer) -> None:
    _silent(ring, ring.attacker(), by)


def test_a_self_signed_certificate_cannot_claim_a_node_id_where_such_certificates_are_permitted() -> None:
    with unharmed(self_signed_permitted=True) as ring:
        attacker = ring.attacker()
        for node_id in (OTHER, ATTACKER, VICTIM):
            _silent(ring, attacker, self_made(node_id))
            with pytest.raises(SecurityError):
                ring.attacker(node_id=node_id, by=self_made(node_id))


@pytest.mark.parametrize("by", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_a_value_by_a_certificate_that_does_not_hold_is_forbidden(ring: Ring, by: KeySigner) -> None:
    """An honest user passes it on, as if it were its own."""
    attacker = ring.attacker(ring.responsible)
    body = store_of(stored(b"forged", 10**15, by=by))
    block = bucket(signer(ATTACKER), by)
    carrier = twisted(signer(ATTACKER), certificates=block)
    assert attacker.errors(MessageCode.STORE_REQ, body, signer=carrier) == [ErrorCode.FORBIDDEN]


@pytest.mark.parametrize("by", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_a_value_whose_signature_does_not_hold_is_forbidden(ring: Ring, by: KeySigner) -> None:
    """Even though whoever sends it is Alice herself."""
    alice = signer(VICTIM, ALICE)
    attacker = ring.attacker(ring.responsible)
    carrier = twisted(alice, certificates=(*alice.certificates, *by.certificates))
    body = store_of(stored(b"forged", 10**15, by=by))
    assert attacker.errors(MessageCode.STORE_REQ, body, signer=carrier) == [ErrorCode.FORBIDDEN]


def _heard(ring: Ring, code: int) -> Message:
    """The last message of this code that somebody could listen to."""
    messages = [decode_message(octets) for *_, octets in ring.sent]
    return next(message for message in reversed(messages) if message.contents.message_code == code)


def _again(message: Message, destination: bytes, **fields: object) -> bytes:
    """The same contents and signature under another header."""
    header = attrs.evolve(message.header, destination_list=(NodeDestination(destination),), via_list=(), **fields)
    return encode_signed(attrs.evolve(message, header=header))


@pytest.mark.parametrize("code", [MessageCode.STORE_REQ, MessageCode.UPDATE_REQ, MessageCode.JOIN_REQ])
def test_a_message_under_another_transaction_id_is_not_the_one_that_was_signed(ring: Ring, code: int) -> None:
    attacker = ring.attacker()
    message = _heard(ring, code)
    forged = _again(message, VICTIM, transaction_id=message.header.transaction_id ^ 1)
    assert attacker.send_octets(forged) == []
    assert ring.drops(0) == ["signature: it does not hold"]


def test_a_message_of_another_overlay_is_refused_and_cannot_be_passed_off_as_one_of_this(ring: Ring) -> None:
    attacker = ring.attacker()
    other = overlay_hash("other.example.org")
    foreign = decode_message(attacker.octets(MessageCode.PING_REQ, PingReq(), overlay=other, transaction=9))
    assert attacker.errors(MessageCode.PING_REQ, PingReq(), overlay=other) == [ErrorCode.INCOMPATIBLE_WITH_OVERLAY]
    ring.drops(0)
    assert attacker.send_octets(_again(foreign, VICTIM, overlay=overlay_hash(OVERLAY))) == []
    assert ring.drops(0) == ["signature: it does not hold"]


def test_not_an_octet_of_what_is_signed_can_be_changed(ring: Ring) -> None:
    attacker = ring.attacker()
    message = decode_message(attacker.octets(MessageCode.PING_REQ, PingReq(b"padding")))
    signed = message.signed
    for at in range(len(signed)):
        changed = bytearray(signed)
        changed[at] ^= 0x40
        octets = encode_signed(message)
        assert octets.count(signed) == 1
        answers = attacker.send_octets(octets.replace(signed, bytes(changed)))
        assert [each for each in answers if each.contents.message_code == MessageCode.PING_ANS] == []


def test_a_signature_of_a_value_is_none_of_a_message(ring: Ring) -> None:
    """Their inputs differ, so that what Alice signs for storage says nothing elsewhere."""
    alice = signer(VICTIM, ALICE)
    attacker = ring.attacker(1)
    message = decode_message(attacker.octets(MessageCode.LEAVE_REQ, LeaveReq(VICTIM)))
    value = alice.sign(bytes(16) + PRIVATE.id.to_bytes(4, "big") + message.signed)
    block = SecurityBlock(alice.certificates, value)
    header = attrs.evolve(message.header, length=0)
    assert attacker.send_octets(encode_signed(attrs.evolve(message, header=header, security_block=block))) == []


def test_with_rsa_it_is_the_same() -> None:
    with unharmed(peers=3, key_type="rsa2048") as ring:
        attacker = ring.attacker(by=signer(ATTACKER, key_type="rsa2048"))
        (answer,) = attacker.send(MessageCode.PING_REQ, PingReq())
        assert answer.contents.message_code == MessageCode.PING_ANS
        octets = attacker.octets(MessageCode.PING_REQ, PingReq(), transaction=2)
        assert attacker.send_octets(octets[:-1] + bytes([octets[-1] ^ 1])) == []
        _silent(ring, attacker, CERTIFICATES["from an authority that no root leads to"])


def test_with_rsa_a_join_of_another_is_forbidden() -> None:
    with unharmed(peers=3, key_type="rsa2048") as ring:
        attacker = ring.attacker(by=signer(ATTACKER, key_type="rsa2048"))
        for node_id in (OTHER, (5).to_bytes(16, "big")):
            errors = attacker.errors(MessageCode.JOIN_REQ, JoinReq(node_id), transaction=ring.transaction())
            assert errors == [ErrorCode.FORBIDDEN]
