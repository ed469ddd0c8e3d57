"""Signatures of messages and data."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from reload_identities import ALICE, NOT_AFTER, NOW, OVERLAY, authority, enrolled, issue, key, node_id, self_signed

import reload.signing
from reload._chain import Trust
from reload._presentation import decode, encode
from reload.contents import MessageContents
from reload.destinations import NodeDestination
from reload.errors import SecurityError
from reload.header import ForwardingHeader
from reload.message import Message, decode_message, encode_message
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Signer, Verifier
from reload.security_block import (
    X509,
    CertificateHash,
    GenericCertificate,
    HashAlgorithm,
    SecurityBlock,
    Signature,
    SignatureAlgorithm,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from reload.signing import (
    MAX_CERTIFICATES,
    KeySigner,
    OverlayVerifier,
    data_input,
    encode_signed,
    message_input,
    own_identity,
    sign_message,
    value_octets,
    verify_message,
)
from reload.storage_messages import ArrayEntry, DataValue, DictionaryEntry

_TRUST = Trust(OVERLAY, root_certificates=(authority().certificate,))
_HEADER = ForwardingHeader(0x9AA32B8D, 0x0102030405060708, (NodeDestination(node_id(9)),))
_PING = MessageContents(23, b"\0\0")
_OCTETS = b"octets"
# That the classes fit their ports is for the type checker.
_SIGNERS: tuple[type[Signer], ...] = (KeySigner, NullSigner)
_VERIFIERS: tuple[type[Verifier], ...] = (OverlayVerifier, NullVerifier)


def _several() -> KeySigner:
    certificate = issue([node_id(1), node_id(2)])
    return KeySigner(key("node"), [certificate], OVERLAY, node_id=node_id(2))


def _verify(signature: Signature, signer: Signer, octets: bytes = _OCTETS, wall: float = NOW) -> object:
    return OverlayVerifier(_TRUST).verify(signature, octets, signer.certificates, wall)


# The inputs.


def test_the_input_of_a_message_is_overlay_transaction_contents() -> None:
    expected = bytes.fromhex("9aa32b8d 0102030405060708") + b"contents"
    assert message_input(0x9AA32B8D, 0x0102030405060708, b"contents") == expected


def test_the_input_of_a_value_is_resource_kind_time_value_without_lengths_and_without_lifetime() -> None:
    expected = bytes(range(16)) + bytes.fromhex("00000010 00000187a1b2c3d4") + b"value"
    assert data_input(bytes(range(16)), 0x10, 0x187A1B2C3D4, b"value") == expected


def test_the_index_of_an_array_entry_is_signed_as_0() -> None:
    entry = ArrayEntry(0xFFFFFFFF, DataValue(True, b"x"))
    assert value_octets(entry) == bytes.fromhex("00000000 01 00000001 78")
    assert value_octets(ArrayEntry(0, entry.value)) == value_octets(ArrayEntry(7, entry.value)) == value_octets(entry)
    assert entry.index == 0xFFFFFFFF


def test_other_values_are_signed_as_they_are() -> None:
    assert value_octets(DataValue(False, b"")) == bytes.fromhex("00 00000000")
    assert value_octets(DictionaryEntry(b"k", DataValue(True, b"v"))) == bytes.fromhex("0001 6b 01 00000001 76")


def _covered(signature: Signature) -> bytes:
    """The SignerIdentity by hand: type, length, hash algorithm, length, hash."""
    named = signature.identity.identity
    assert isinstance(named, CertificateHash)
    size = len(named.certificate_hash)
    head = bytes([signature.identity.identity_type]) + (size + 2).to_bytes(2, "big") + bytes([named.hash_alg, size])
    return head + named.certificate_hash


def test_a_signature_covers_the_octets_and_the_signer_identity_behind_them() -> None:
    signer = enrolled(1)
    signature = signer.sign(_OCTETS)
    public = key("node").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature.signature_value, _OCTETS + _covered(signature), ec.ECDSA(hashes.SHA256()))


def test_rsa_signs_with_pkcs_1_v1_5_and_sha_256() -> None:
    signer = enrolled(1, name="rsa", key_type="rsa")
    signature = signer.sign(_OCTETS)
    assert signature.algorithm == SignatureAndHashAlgorithm(HashAlgorithm.SHA256, SignatureAlgorithm.RSA)
    public = key("rsa", "rsa").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    covered = _OCTETS + _covered(signature)
    public.verify(signature.signature_value, covered, padding.PKCS1v15(), hashes.SHA256())
    assert _verify(signature, signer)


def test_a_certificate_of_one_node_id_is_named_by_its_hash() -> None:
    signer = enrolled(1)
    named = CertificateHash(HashAlgorithm.SHA256, hashlib.sha256(signer.certificates[0].certificate).digest())
    assert signer.sign(b"").identity == SignerIdentity(SignerIdentityType.CERT_HASH, named)


def test_a_certificate_of_several_node_ids_is_named_by_the_hash_with_the_node_id_in_front() -> None:
    signer = _several()
    digest = hashlib.sha256(node_id(2) + signer.certificates[0].certificate).digest()
    named = CertificateHash(HashAlgorithm.SHA256, digest)
    assert signer.sign(b"").identity == SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, named)


def test_the_same_octets_give_the_same_signature() -> None:
    for key_type in ("p256", "rsa"):
        signer = enrolled(1, name=key_type, key_type=key_type)  # type: ignore[arg-type]
        assert signer.sign(_OCTETS) == signer.sign(_OCTETS)


# Verifying.


def test_the_signer_is_who_the_certificate_says() -> None:
    signer = enrolled(1)
    identity = OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, signer.certificates, NOW)
    assert (identity.node_id, identity.node_ids, identity.user_name) == (node_id(1), (node_id(1),), ALICE)
    assert identity.certificate == signer.certificates[0].certificate
    assert own_identity(signer, OVERLAY) == identity


def test_the_node_id_is_the_one_that_signed_among_several() -> None:
    signer = _several()
    identity = OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, signer.certificates, NOW)
    assert (identity.node_id, identity.node_ids) == (node_id(2), (node_id(1), node_id(2)))
    assert own_identity(signer, OVERLAY) == identity


def test_a_signature_over_other_octets_is_refused() -> None:
    signer = enrolled(1)
    with pytest.raises(SecurityError, match="does not hold"):
        _verify(signer.sign(_OCTETS), signer, b"other octets")


def test_a_signature_with_a_changed_value_is_refused() -> None:
    signer = enrolled(1)
    for value in (b"", b"\0" * 64, b"x" * 70):
        good = signer.sign(_OCTETS)
        with pytest.raises(SecurityError, match="does not hold"):
            _verify(Signature(good.algorithm, good.identity, value), signer)


def test_a_signature_that_does_not_cover_its_identity_is_refused_in_a_message_and_the_other_way_round() -> None:
    signer, verifier = enrolled(1), OverlayVerifier(_TRUST)
    alone = signer.sign(_OCTETS, covers_identity=False)
    verifier.verify(alone, _OCTETS, signer.certificates, NOW, covers_identity=False)
    with pytest.raises(SecurityError):
        verifier.verify(alone, _OCTETS, signer.certificates, NOW)
    with pytest.raises(SecurityError):
        verifier.verify(signer.sign(_OCTETS), _OCTETS, signer.certificates, NOW, covers_identity=False)


def test_a_signature_whose_certificate_is_not_there_is_refused() -> None:
    signer, other = enrolled(1), enrolled(2, name="other")
    with pytest.raises(SecurityError, match="not there"):
        OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, other.certificates, NOW)
    with pytest.raises(SecurityError, match="not there"):
        OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, (), NOW)


def test_a_signature_that_names_another_certificate_is_refused() -> None:
    """A wrong cert_hash: the signature is the attacker's, the certificate that it names the victim's."""
    attacker, victim = enrolled(1, name="attacker"), enrolled(2, name="victim")
    forged = victim.sign(_OCTETS)
    own = attacker.sign(_OCTETS)
    bucket = attacker.certificates + victim.certificates
    with pytest.raises(SecurityError, match="does not hold"):
        OverlayVerifier(_TRUST).verify(
            Signature(own.algorithm, forged.identity, own.signature_value), _OCTETS, bucket, NOW
        )


def test_a_node_id_that_is_not_in_the_certificate_cannot_be_signed_for() -> None:
    signer = _several()
    stolen = hashlib.sha256(node_id(7) + signer.certificates[0].certificate).digest()
    identity = SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, CertificateHash(HashAlgorithm.SHA256, stolen))
    good = signer.sign(_OCTETS)
    with pytest.raises(SecurityError, match="not there"):
        _verify(Signature(good.algorithm, identity, good.signature_value), signer)


@pytest.mark.parametrize("several", [False, True])
def test_the_identity_type_has_to_be_that_of_the_number_of_node_ids(several: bool) -> None:
    signer = _several() if several else enrolled(1)
    der = signer.certificates[0].certificate
    kind = SignerIdentityType.CERT_HASH if several else SignerIdentityType.CERT_HASH_NODE_ID
    value = hashlib.sha256((b"" if several else node_id(1)) + der).digest()
    identity = SignerIdentity(kind, CertificateHash(HashAlgorithm.SHA256, value))
    private = key("node")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signed = private.sign(_OCTETS + encode(identity), ec.ECDSA(hashes.SHA256()))
    algorithm = SignatureAndHashAlgorithm(HashAlgorithm.SHA256, SignatureAlgorithm.ECDSA)
    with pytest.raises(SecurityError, match="not there"):
        _verify(Signature(algorithm, identity, signed), signer)


def test_the_identity_none_is_an_error() -> None:
    signer = enrolled(1)
    nobody = SignerIdentity(SignerIdentityType.NONE, None)
    for algorithm in (SignatureAndHashAlgorithm(0, 0), signer.sign(b"").algorithm):
        with pytest.raises(SecurityError):
            _verify(Signature(algorithm, nobody, b""), signer)


def test_an_identity_type_that_is_not_known_is_an_error() -> None:
    signer = enrolled(1)
    good = signer.sign(_OCTETS)
    unknown = SignerIdentity(77, encode(good.identity)[3:])
    with pytest.raises(SecurityError, match="no signer is named"):
        _verify(Signature(good.algorithm, unknown, good.signature_value), signer)


@pytest.mark.parametrize("hash_algorithm", [0, HashAlgorithm.SHA1, HashAlgorithm.SHA224, 99])
def test_weak_and_unknown_hashes_are_refused(hash_algorithm: int) -> None:
    signer = enrolled(1)
    good = signer.sign(_OCTETS)
    named = good.identity.identity
    assert isinstance(named, CertificateHash)
    weak = SignatureAndHashAlgorithm(hash_algorithm, SignatureAlgorithm.ECDSA)
    with pytest.raises(SecurityError, match="not accepted"):
        _verify(Signature(weak, good.identity, good.signature_value), signer)
    identity = SignerIdentity(1, CertificateHash(hash_algorithm, named.certificate_hash))
    with pytest.raises(SecurityError, match="not accepted"):
        _verify(Signature(good.algorithm, identity, good.signature_value), signer)


@pytest.mark.parametrize("hash_algorithm", [HashAlgorithm.SHA1, HashAlgorithm.SHA384, HashAlgorithm.SHA512])
@pytest.mark.parametrize("key_type", ["p256", "rsa"])
def test_a_policy_accepts_other_hashes(hash_algorithm: HashAlgorithm, key_type: str) -> None:
    certificate = issue([node_id(1)], name=key_type, key_type=key_type)  # type: ignore[arg-type]
    signer = KeySigner(
        key(key_type, key_type),
        [certificate],
        OVERLAY,
        hash_algorithm=hash_algorithm,  # type: ignore[arg-type]
    )
    verifier = OverlayVerifier(_TRUST, hash_algorithms=frozenset({hash_algorithm}))
    assert verifier.verify(signer.sign(_OCTETS), _OCTETS, signer.certificates, NOW).node_id == node_id(1)


def test_an_algorithm_that_is_not_that_of_the_key_is_refused() -> None:
    signer = enrolled(1)
    good = signer.sign(_OCTETS)
    for signature in (SignatureAlgorithm.RSA, SignatureAlgorithm.DSA, SignatureAlgorithm.ANONYMOUS, 0xE0):
        other = SignatureAndHashAlgorithm(HashAlgorithm.SHA256, signature)
        with pytest.raises(SecurityError, match="not that of the key"):
            _verify(Signature(other, good.identity, good.signature_value), signer)


def test_a_good_signature_is_refused_when_the_certificate_has_expired() -> None:
    signer, verifier = enrolled(1), OverlayVerifier(_TRUST)
    signature = signer.sign(_OCTETS)
    verifier.verify(signature, _OCTETS, signer.certificates, NOW)
    with pytest.raises(SecurityError, match="expired"):
        verifier.verify(signature, _OCTETS, signer.certificates, NOT_AFTER + 1)


def test_a_good_signature_of_a_bad_node_is_refused() -> None:
    signer = enrolled(1)
    trust = Trust(OVERLAY, root_certificates=_TRUST.root_certificates, bad_nodes=frozenset({node_id(1)}))
    with pytest.raises(SecurityError, match="bad-node"):
        OverlayVerifier(trust).verify(signer.sign(_OCTETS), _OCTETS, signer.certificates, NOW)


def test_a_certificate_of_another_type_than_x_509_is_not_looked_at() -> None:
    signer = enrolled(1)
    other = [GenericCertificate(1, each.certificate) for each in signer.certificates]
    with pytest.raises(SecurityError, match="not there"):
        OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, other, NOW)


def test_a_bucket_of_very_many_certificates_is_refused() -> None:
    signer = enrolled(1)
    bucket = (GenericCertificate(X509, b"x"),) * MAX_CERTIFICATES + signer.certificates
    with pytest.raises(SecurityError, match="certificates with it"):
        OverlayVerifier(_TRUST).verify(signer.sign(_OCTETS), _OCTETS, bucket, NOW)


def test_a_signature_that_held_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, verifier = enrolled(1), OverlayVerifier(_TRUST)
    signature = signer.sign(_OCTETS)
    first = verifier.verify(signature, _OCTETS, signer.certificates, NOW)
    monkeypatch.setattr(reload.signing, "_verify", None)
    assert verifier.verify(signature, _OCTETS, signer.certificates, NOW) == first
    monkeypatch.undo()
    with pytest.raises(SecurityError):
        verifier.verify(signature, _OCTETS + b"!", signer.certificates, NOW)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.signing, "MAX_VERIFIED", 4)
    signer, verifier = enrolled(1), OverlayVerifier(_TRUST)
    for number in range(20):
        octets = bytes([number])
        verifier.verify(signer.sign(octets), octets, signer.certificates, NOW)
    assert len(verifier._verified) == 4


def test_who_shows_a_certificate_on_a_connection_is_identified() -> None:
    signer, verifier = _several(), OverlayVerifier(_TRUST)
    identity = verifier.identify(signer.certificates[0].certificate, (), NOW)
    assert (identity.node_id, identity.node_ids) == (node_id(1), (node_id(1), node_id(2)))
    for wrong in (b"", self_signed()):
        with pytest.raises(SecurityError):
            verifier.identify(wrong, (), NOW)


def test_a_signer_needs_the_key_and_a_node_id_of_its_certificate() -> None:
    with pytest.raises(SecurityError, match="another key"):
        KeySigner(key("other"), [issue([node_id(1)])], OVERLAY)
    with pytest.raises(SecurityError, match="no such Node-ID"):
        KeySigner(key("node"), [issue([node_id(1)])], OVERLAY, node_id=node_id(2))


# Messages.


def test_a_signed_message_is_verified_where_it_arrives() -> None:
    octets = encode_signed(sign_message(_HEADER, _PING, enrolled(1)))
    message = decode_message(octets)
    assert octets == encode_message(message)
    assert verify_message(message, OverlayVerifier(_TRUST), NOW).node_id == node_id(1)


@pytest.mark.parametrize("field", ["overlay", "transaction_id"])
def test_a_message_with_another_overlay_or_transaction_is_refused(field: str) -> None:
    message = sign_message(_HEADER, _PING, enrolled(1))
    setattr(message, "header", ForwardingHeader(**{**_fields(_HEADER), field: 1}))  # noqa: B010
    with pytest.raises(SecurityError, match="does not hold"):
        verify_message(message, OverlayVerifier(_TRUST), NOW)


def _fields(header: ForwardingHeader) -> dict[str, object]:
    return {name: getattr(header, name) for name in ("overlay", "transaction_id", "destination_list")}


def test_a_message_with_another_body_is_refused() -> None:
    octets = encode_signed(sign_message(_HEADER, MessageContents(23, b"\0\1a"), enrolled(1)))
    changed = octets.replace(b"\0\1a", b"\0\1b", 1)
    with pytest.raises(SecurityError, match="does not hold"):
        verify_message(decode_message(changed), OverlayVerifier(_TRUST), NOW)


def test_what_peers_on_the_way_change_is_not_signed() -> None:
    message = decode_message(encode_signed(sign_message(_HEADER, _PING, enrolled(1))))
    message.header.ttl = 3
    message.header.via_list = (NodeDestination(node_id(4)),)
    assert verify_message(message, OverlayVerifier(_TRUST), NOW).node_id == node_id(1)


def test_certificates_of_values_come_once_behind_those_of_the_signer() -> None:
    signer, other = enrolled(1), enrolled(2, name="other")
    message = sign_message(_HEADER, _PING, signer, other.certificates + signer.certificates + other.certificates)
    assert message.security_block.certificates == signer.certificates + other.certificates


def test_a_message_without_a_signature_is_refused() -> None:
    nobody = Signature(SignatureAndHashAlgorithm(0, 0), SignerIdentity(3, None), b"")
    message = Message(_HEADER, _PING, SecurityBlock((), nobody), encode(_PING))
    with pytest.raises(SecurityError):
        verify_message(message, OverlayVerifier(_TRUST), NOW)


# For simulations.


def test_a_null_signer_is_believed_by_a_null_verifier_only() -> None:
    signer = NullSigner(node_id(3), ALICE, certificate_size=400, signature_size=72)
    message = decode_message(encode_signed(sign_message(_HEADER, _PING, signer)))
    identity = verify_message(message, NullVerifier(), NOW)
    assert (identity.node_id, identity.node_ids, identity.user_name) == (node_id(3), (node_id(3),), ALICE)
    assert NullVerifier().identify(signer.certificates[0].certificate, (), NOW) == identity
    assert len(message.security_block.signature.signature_value) == 72
    with pytest.raises(SecurityError):
        verify_message(message, OverlayVerifier(_TRUST), NOW)


def test_a_null_verifier_notices_other_octets_and_believes_no_real_signer() -> None:
    signer, real = NullSigner(node_id(3)), enrolled(1)
    with pytest.raises(SecurityError):
        NullVerifier().verify(signer.sign(b"a"), b"b", signer.certificates, NOW)
    with pytest.raises(SecurityError):
        NullVerifier().verify(signer.sign(b"a"), b"a", (), NOW)
    with pytest.raises(SecurityError):
        NullVerifier().verify(real.sign(b"a"), b"a", real.certificates, NOW)
    for wrong in (b"", b"\x10", real.certificates[0].certificate, b"\1a\xff"):
        with pytest.raises(SecurityError):
            NullVerifier().identify(wrong, (), NOW)


def test_a_signature_survives_its_octets() -> None:
    for signer in (enrolled(1), _several(), NullSigner(node_id(1))):
        signature = signer.sign(_OCTETS)
        assert decode(Signature, encode(signature)) == signature
