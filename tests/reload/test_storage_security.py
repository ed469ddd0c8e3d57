"""What a hostile signer, peer or repeater tries on a storage, with real signatures (RFC 6940 sections 7.1 and 13.5)."""

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from reload_identities import NOT_AFTER, NOT_BEFORE, OVERLAY, authority, enrolled, issue, key, node_id
from reload_storing import (
    ARRAY,
    DICTIONARY,
    EPOCH,
    GONE,
    HOME,
    KINDS,
    OWN_KEY,
    SINGLE,
    UNSIGNED,
    Peer,
    entry,
    error,
    generations,
    item,
    of,
    signed,
    there,
)

from reload._chain import Trust
from reload._presentation import decode, encode
from reload.contents import ErrorCode
from reload.kinds import CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER, AccessControl, Kind
from reload.naming import resource_id
from reload.ports import Verifier
from reload.security_block import CertificateHash, GenericCertificate, SignatureAndHashAlgorithm, SignerIdentity
from reload.signing import KeySigner, OverlayVerifier
from reload.storage import StoreOutcome
from reload.storage_messages import (
    STORED_DATA,
    ArrayEntry,
    DataModel,
    DictionaryEntry,
    StoredData,
    StoredSingle,
)

_TRUST = Trust(OVERLAY, root_certificates=(authority().certificate,))
ALICE, ALICE_TOO = enrolled(1), enrolled(2, name="too")
BOB = enrolled(3, "bob@example.org", name="bob")
PEER = enrolled(9, None, name="peer")
BY_NODE = Kind(0xF0000010, DataModel.SINGLE, AccessControl.NODE_MATCH, 1, 100)


class Counting:
    """A verifier that counts what it is asked."""

    def __init__(self, inner: Verifier) -> None:
        self.inner = inner
        self.asked = 0
        self.identify = inner.identify

    def verify(self, *args: object, **options: object) -> object:
        self.asked += 1
        return self.inner.verify(*args, **options)  # type: ignore[arg-type]


@pytest.fixture
def peer() -> Peer:
    made = Peer(verifier=OverlayVerifier(_TRUST), kinds=KINDS.updated([BY_NODE]))
    made.where.senders = (PEER.node_id,)
    return made


def _store(peer: Peer, kind: Kind, octets: bytes, *, by: KeySigner = ALICE, **options: object) -> StoreOutcome:
    return peer.store(of(kind, octets), by=by, with_signers=(ALICE, ALICE_TOO, BOB), **options)  # type: ignore[arg-type]


def _replicate(peer: Peer, kind: Kind, *octets: bytes, generation: int = 1) -> StoreOutcome:
    data = of(kind, *octets, generation=generation)
    return peer.store(data, by=PEER, replica=1, with_signers=(ALICE, ALICE_TOO, BOB))


def _changed(kind: Kind, octets: bytes, **members: object) -> bytes:
    found: StoredData = decode(STORED_DATA[kind.data_model], octets)
    return encode(attrs.evolve(found, **members))


def test_a_value_that_its_owner_signs_and_sends_is_stored(peer: Peer) -> None:
    generations(_store(peer, SINGLE, signed(SINGLE, there(b"mine"), time=1, by=ALICE)))
    assert peer.values(SINGLE) == [b"mine"]


def test_the_input_of_the_signature_is_the_one_of_the_rfc_computed_independently(peer: Peer) -> None:
    """resource_id || kind || storage_time || StoredDataValue || SignerIdentity, by the library alone."""
    identity = encode(ALICE.sign(b"").identity)
    cases = [
        (SINGLE, there(b"abc"), "01" + "00000003" + "616263"),
        (ARRAY, entry(7, b"abc"), "00000000" + "01" + "00000003" + "616263"),
        (DICTIONARY, item(b"key", b""), "0003" + "6b6579" + "01" + "00000000"),
    ]
    for kind, value, octets in cases:
        covered = HOME + bytes.fromhex(f"{kind.id:08x}" + "00000000000004d2" + octets) + identity
        signature = key("node").sign(covered, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg,arg-type]
        own = attrs.evolve(ALICE.sign(b""), signature_value=signature)
        made = encode(STORED_DATA[kind.data_model](1234, 100, value, own))
        generations(_store(peer, kind, made))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("value", {"value": there(b"his")}),
        ("existence", {"value": GONE}),
        ("time", {"storage_time": 2}),
    ],
)
def test_a_value_that_was_changed_on_its_way_is_forbidden(peer: Peer, name: str, change: dict[str, object]) -> None:
    octets = _changed(SINGLE, signed(SINGLE, there(b"mine"), time=1, by=ALICE), **change)
    assert error(_store(peer, SINGLE, octets)) == error(_replicate(peer, SINGLE, octets)) == ErrorCode.FORBIDDEN


def test_a_value_signed_for_another_kind_is_forbidden(peer: Peer) -> None:
    other = attrs.evolve(SINGLE, id=0xF0000011)
    octets = signed(other, there(b""), time=1, by=ALICE)
    assert error(_store(peer, SINGLE, octets)) == error(_replicate(peer, SINGLE, octets)) == ErrorCode.FORBIDDEN


def test_a_value_signed_for_another_resource_is_forbidden(peer: Peer) -> None:
    at = resource_id(ALICE.node_id)
    octets = signed(BY_NODE, there(b""), time=1, by=ALICE, at=at)
    generations(_store(peer, BY_NODE, octets, at=at))
    moved = signed(SINGLE, there(b""), time=1, by=ALICE, at=at)
    assert error(_store(peer, SINGLE, moved)) == error(_replicate(peer, SINGLE, moved)) == ErrorCode.FORBIDDEN


def test_the_name_of_another_certificate_in_a_signature_is_forbidden(peer: Peer) -> None:
    """A wrong cert_hash: of another node's certificate, of none that is there, and of no certificate at all."""
    good = decode(StoredSingle, signed(SINGLE, there(b""), time=1, by=ALICE))
    names = [
        ALICE_TOO.sign(b"").identity,
        SignerIdentity(1, CertificateHash(4, bytes(32))),
        SignerIdentity(2, good.signature.identity.identity),
        SignerIdentity(3, None),
        SignerIdentity(77, b"unknown"),
    ]
    for name in names:
        octets = encode(attrs.evolve(good, signature=attrs.evolve(good.signature, identity=name)))
        assert error(_store(peer, SINGLE, octets)) == error(_replicate(peer, SINGLE, octets)) == ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "signature",
    [
        UNSIGNED,
        attrs.evolve(ALICE.sign(b""), algorithm=SignatureAndHashAlgorithm(0, 0)),
        attrs.evolve(ALICE.sign(b""), identity=SignerIdentity(3, None)),
    ],
    ids=["both", "algorithm", "identity"],
)
@pytest.mark.parametrize("value", [GONE, there(b"x")])
def test_a_synthetic_value_is_forbidden_in_a_store(peer: Peer, signature: object, value: object) -> None:
    octets = encode(StoredSingle(0, 0, value, signature))  # type: ignore[arg-type]
    assert error(_store(peer, SINGLE, octets)) == error(_replicate(peer, SINGLE, octets)) == ErrorCode.FORBIDDEN


def test_a_synthetic_value_is_forbidden_even_if_a_verifier_believes_it() -> None:
    class Gullible(OverlayVerifier):
        def verify(self, *args: object, **options: object) -> object:  # type: ignore[override]
            return self.identify(ALICE.certificates[0].certificate, ALICE.certificates, EPOCH)

    peer = Peer(verifier=Gullible(_TRUST))
    assert error(_store(peer, SINGLE, encode(StoredSingle(0, 0, GONE, UNSIGNED)))) == ErrorCode.FORBIDDEN


def test_a_store_that_is_replayed_is_too_old_as_long_as_the_value_lives(peer: Peer) -> None:
    first = signed(SINGLE, there(b"first"), time=1, by=ALICE)
    second = signed(SINGLE, there(b"second"), time=2, by=ALICE)
    generations(_store(peer, SINGLE, first))
    assert error(_store(peer, SINGLE, first)) == ErrorCode.DATA_TOO_OLD
    generations(_store(peer, SINGLE, second))
    for replayed in (first, second):
        assert error(_store(peer, SINGLE, replayed)) == ErrorCode.DATA_TOO_OLD
    assert error(_replicate(peer, SINGLE, first)) == ErrorCode.DATA_TOO_OLD
    assert peer.values(SINGLE) == [b"second"]


def test_a_peer_cannot_roll_a_value_back_by_a_replica_nor_bring_back_what_was_removed(peer: Peer) -> None:
    old = signed(SINGLE, there(b"old"), time=1, by=ALICE)
    generations(_store(peer, SINGLE, old))
    generations(_store(peer, SINGLE, signed(SINGLE, GONE, time=2, by=ALICE)))
    for generation in (1, 2, 1 << 63):
        assert error(_replicate(peer, SINGLE, old, generation=generation)) == ErrorCode.DATA_TOO_OLD
    assert peer.values(SINGLE) == [None]
    assert peer.generation(SINGLE) == 2


def test_a_peer_cannot_lengthen_the_life_of_a_value_by_a_replica(peer: Peer) -> None:
    value = signed(SINGLE, there(b""), time=1, by=ALICE, lifetime=10)
    generations(_store(peer, SINGLE, value))
    generations(_replicate(peer, SINGLE, _changed(SINGLE, value, lifetime=0xFFFFFFFF)))
    assert peer.values(SINGLE, now=10.0) == [None]


def test_a_signature_over_an_index_other_than_0_does_not_hold(peer: Peer) -> None:
    literally = ALICE.sign(HOME + ARRAY.id.to_bytes(4, "big") + (1).to_bytes(8, "big") + encode(entry(3, b"x")))
    octets = _changed(ARRAY, signed(ARRAY, entry(3, b"x"), time=1, by=ALICE), signature=literally)
    assert error(_store(peer, ARRAY, octets)) == ErrorCode.FORBIDDEN


def test_an_entry_at_another_index_still_verifies_but_only_its_owner_may_put_it_there(peer: Peer) -> None:
    octets = signed(ARRAY, entry(0, b"x"), time=1, by=ALICE)
    shifted = _changed(ARRAY, octets, value=entry(2, b"x"))
    assert error(_store(peer, ARRAY, shifted, by=BOB)) == ErrorCode.FORBIDDEN
    generations(_store(peer, ARRAY, shifted))
    assert peer.values(ARRAY) == [None, None, b"x"]


def test_a_key_of_a_dictionary_cannot_be_stolen(peer: Peer) -> None:
    own = signed(OWN_KEY, DictionaryEntry(ALICE.node_id, there(b"phone")), time=1, by=ALICE)
    generations(_store(peer, OWN_KEY, own))
    for thief in (ALICE_TOO, BOB):
        stolen = signed(OWN_KEY, DictionaryEntry(ALICE.node_id, there(b"thief")), time=2, by=thief)
        assert error(_store(peer, OWN_KEY, stolen, by=thief)) == ErrorCode.FORBIDDEN
        assert error(_store(peer, OWN_KEY, stolen, by=ALICE)) == ErrorCode.FORBIDDEN
        assert error(_replicate(peer, OWN_KEY, stolen)) == ErrorCode.FORBIDDEN
    again = signed(OWN_KEY, DictionaryEntry(ALICE.node_id, there(b"new")), time=2, by=ALICE)
    assert error(_store(peer, OWN_KEY, again, by=ALICE_TOO)) == ErrorCode.FORBIDDEN
    assert peer.values(OWN_KEY) == [b"phone"]


def test_a_value_of_alice_that_bob_sends_is_forbidden_unless_it_is_a_replica(peer: Peer) -> None:
    octets = signed(SINGLE, there(b""), time=1, by=ALICE)
    assert error(_store(peer, SINGLE, octets, by=BOB)) == ErrorCode.FORBIDDEN
    assert error(_store(peer, SINGLE, octets, by=PEER)) == ErrorCode.FORBIDDEN
    generations(_replicate(peer, SINGLE, octets))


def test_a_peer_that_is_no_plausible_one_cannot_pass_its_store_off_as_a_replica(peer: Peer) -> None:
    octets = signed(SINGLE, there(b""), time=1, by=ALICE)
    peer.where.senders = ()
    assert error(_replicate(peer, SINGLE, octets)) == ErrorCode.FORBIDDEN


def test_of_a_certificate_with_several_node_ids_the_one_that_signs_counts(peer: Peer) -> None:
    certificate = issue([node_id(21), node_id(22)])
    first, second = (KeySigner(key("node"), [certificate], OVERLAY, node_id=node_id(n)) for n in (21, 22))
    at = resource_id(node_id(22))
    for by, expected in ((first, ErrorCode.FORBIDDEN), (second, None)):
        outcome = _store(peer, BY_NODE, signed(BY_NODE, there(b""), time=1, by=by, at=at), by=by, at=at)
        assert getattr(outcome, "error_code", None) == expected
    octets = signed(BY_NODE, there(b"2"), time=2, by=second, at=at)
    assert error(_store(peer, BY_NODE, octets, by=first, at=at)) == ErrorCode.FORBIDDEN


@pytest.mark.parametrize("now", [NOT_BEFORE - EPOCH - 1, NOT_AFTER - EPOCH + 1])
def test_a_certificate_must_be_valid_now_whatever_the_storage_time_says(peer: Peer, now: float) -> None:
    octets = signed(SINGLE, there(b""), time=int(EPOCH * 1000), by=ALICE)
    identity = OverlayVerifier(_TRUST).identify(ALICE.certificates[0].certificate, ALICE.certificates, EPOCH)
    peer.verifier.identify = lambda *_: identity  # type: ignore[method-assign]
    assert error(_store(peer, SINGLE, octets, now=now)) == ErrorCode.FORBIDDEN


def test_data_may_be_set_to_outlive_the_certificate(peer: Peer) -> None:
    lifetime = int(NOT_AFTER - EPOCH) + 1000
    generations(_store(peer, SINGLE, signed(SINGLE, there(b""), time=1, by=ALICE, lifetime=lifetime)))
    assert peer.values(SINGLE, now=lifetime - 1.0) == [b""]


def test_the_certificate_of_a_values_signer_must_be_with_the_request(peer: Peer) -> None:
    octets = signed(SINGLE, there(b""), time=1, by=ALICE)
    outcome = peer.store(of(SINGLE, octets, generation=1), by=PEER, replica=1, with_signers=())
    assert error(outcome) == ErrorCode.FORBIDDEN


def test_a_verifier_may_know_certificates_that_do_not_come_with_the_request() -> None:
    class Knowing(OverlayVerifier):
        def verify(
            self, signature: object, octets: object, certificates: object, *args: object, **options: object
        ) -> object:  # type: ignore[override]
            return super().verify(signature, octets, ALICE.certificates, *args, **options)  # type: ignore[arg-type]

    peer = Peer(verifier=Knowing(_TRUST))  # type: ignore[arg-type]
    peer.where.senders = (PEER.node_id,)
    value = signed(SINGLE, there(b""), time=1, by=ALICE)
    generations(peer.store(of(SINGLE, value, generation=1), by=PEER, replica=1, with_signers=()))
    copy = peer.storage.values_of(HOME, 0.0)
    assert copy is not None
    assert copy.certificates == ALICE.certificates


def test_a_self_signed_certificate_is_nobodys_where_there_are_root_certificates(peer: Peer) -> None:
    stranger = KeySigner(key("stranger"), [issue([node_id(1)], by=authority("other"), name="stranger")], OVERLAY)
    octets = signed(SINGLE, there(b""), time=1, by=stranger)
    outcome = peer.store(
        of(SINGLE, octets, generation=1), by=PEER, replica=1, with_signers=(), certificates=stranger.certificates
    )
    assert error(outcome) == ErrorCode.FORBIDDEN


def test_what_is_held_already_is_not_verified_again() -> None:
    verifier = Counting(OverlayVerifier(_TRUST))
    peer = Peer(verifier=verifier)  # type: ignore[arg-type]
    peer.where.senders = (PEER.node_id,)
    values = [signed(ARRAY, entry(i, b"x"), time=1, by=ALICE) for i in range(4)]
    _replicate(peer, ARRAY, *values[:3])
    assert verifier.asked == 3
    _replicate(peer, ARRAY, *values)
    assert verifier.asked == 4


def test_nothing_is_verified_for_a_store_that_does_not_belong_here() -> None:
    verifier = Counting(OverlayVerifier(_TRUST))
    peer = Peer(verifier=verifier)  # type: ignore[arg-type]
    peer.where.responsible = False
    assert error(_store(peer, SINGLE, signed(SINGLE, there(b""), time=1, by=ALICE))) == ErrorCode.FORBIDDEN
    assert verifier.asked == 0


def test_a_user_and_a_node_store_their_certificate_where_everybody_finds_it(peer: Peer) -> None:
    """Section 8: at H(user name) and at H(Node-ID), an old and a new one side by side."""
    der = ALICE.certificates[0].certificate
    newer = issue([node_id(1)], not_after=NOT_AFTER + 1)
    for kind, at in ((CERTIFICATE_BY_USER, HOME), (CERTIFICATE_BY_NODE, resource_id(ALICE.node_id))):
        for time, value in enumerate((der, newer)):
            appended = ArrayEntry(0xFFFFFFFF, there(value))
            generations(_store(peer, kind, signed(kind, appended, time=time, by=ALICE, at=at), at=at))
        assert peer.values(kind, at=at) == [der, newer]
        assert error(_store(peer, kind, signed(kind, entry(0, b""), time=9, by=BOB, at=at), by=BOB, at=at)) == 2


def test_a_certificate_that_comes_under_another_type_as_well_is_passed_on_as_what_it_is(peer: Peer) -> None:
    """Else who replicates a value makes it unreadable at all who get it from here."""
    (own,) = ALICE.certificates
    disguised = GenericCertificate(99, own.certificate)
    value = of(SINGLE, signed(SINGLE, there(b""), time=1, by=ALICE), generation=1)
    bucket = (disguised, own)
    generations(peer.store(value, by=PEER, replica=1, with_signers=(), certificates=bucket))
    copy = peer.storage.values_of(HOME, 0.0)
    assert copy is not None
    assert copy.certificates == (own,)
