"""What a hostile node tries with certificates and signatures (RFC 6940 sections 6.3.4, 11.3 and 13), and what there is
of other kinds: every negative, what comes of it, and the tests that show it over nodes with real signatures.

After each of them all peers hold, follow and route as before, and serve (`unharmed` in reload_hostile).

Join in the name of another, over another's link, or forwarded: Forbidden
    topology: a_join_with_the_id_of_another_is_forbidden, a_join_over_the_link_of_another_node_is_forbidden,
    a_join_that_others_forward_is_forbidden, a_join_at_a_peer_of_another_part_of_the_ring_is_refused
Leave in the name of another: Forbidden
    topology: a_leave_for_another_is_forbidden, a_leave_of_who_is_no_peer_changes_nothing
Update that makes its sender everybody's neighbor: it gets its own part of the ring, and no other
    topology: who_names_itself_everybodys_neighbor_comes_to_stand_at_its_own_place_and_nowhere_else,
    an_update_that_others_forward_places_nobody, an_update_in_the_name_of_this_node_itself_is_forbidden
Update with thousands of Node-IDs, or with lies in it: 16 Attaches; Invalid_Message
    topology: an_update_with_thousands_of_ids_has_some_attached_and_nothing_else,
    who_names_itself_from_afar_does_not_take_the_place_of_whom_peers_name,
    an_update_whose_lists_are_longer_than_it_is_invalid, an_update_with_ids_that_no_node_has_names_nobody
Join, Leave or Update of earlier, also through the node that has sent it: Forbidden; nobody is placed
    topology: a_join_or_leave_of_earlier_is_forbidden, an_update_of_earlier_places_nobody,
    an_update_of_a_peer_that_has_left_brings_nobody_back
Store of earlier, replica of earlier, older storage_time: Data_Too_Old, Forbidden
    storing: a_store_that_is_replayed_is_too_old, a_duplicate_of_a_store_is_answered_and_stored_once,
    a_value_is_not_rolled_back_by_what_was_stored_before_it, replicas_that_are_replayed_change_nothing,
    alice_herself_cannot_go_back_in_time
The same message in another overlay, or under another transaction ID: Incompatible_with_Overlay; silence
    identity: a_message_of_another_overlay_is_refused_and_cannot_be_passed_off_as_one_of_this,
    a_message_under_another_transaction_id_is_not_the_one_that_was_signed
Stolen Node-ID, certificate that is not chained, of another overlay, expired, of a bad-node: silence, and no link
    identity: nothing_comes_of_messages_by_a_certificate_that_does_not_hold,
    no_link_is_made_with_a_certificate_that_does_not_hold,
    a_self_signed_certificate_cannot_claim_a_node_id_where_such_certificates_are_permitted,
    a_value_by_a_certificate_that_does_not_hold_is_forbidden
Wrong cert_hash, the other type of it, identity none, algorithm {0,0}: silence; in a value, Forbidden
    identity: nothing_comes_of_messages_whose_signature_does_not_hold,
    a_value_whose_signature_does_not_hold_is_forbidden
Synthetic value in a Store; value of another; replica by an implausible sender; Store elsewhere: Forbidden
    storing: a_synthetic_value_is_forbidden, nobody_stores_in_the_name_of_alice,
    a_replica_by_an_implausible_peer_is_forbidden_wherever_it_goes,
    a_store_at_a_peer_that_is_not_responsible_is_forbidden, a_store_is_taken_as_a_whole_or_not_at_all
ConfigUpdate that is forged, unsigned, older, or plays with 65535: Forbidden, Config_Too_Old, Invalid_Message
    storing: a_configuration_that_is_not_the_successor_of_this_one_is_refused,
    a_sequence_of_65535_is_none_except_in_a_config_update,
    requests_of_a_newer_configuration_are_refused_and_nothing_is_believed,
    so_many_are_sent_the_configuration_at_a_time_and_others_when_they_ask_again
Kind by who is no kind-signer: Forbidden
    storing: a_kind_that_no_kind_signer_has_signed_is_refused, a_good_kind_among_bad_ones_is_not_learned_either
Loops and duplicates in a Destination List: Invalid_Message, silence for responses
    routing_headers: a_destination_that_comes_again_is_an_invalid_message,
    a_response_that_would_go_round_is_dropped_silently, a_message_goes_over_a_link_once_for_each_destination_and_no_more
Resource-ID that is not the last one: silence
    routing_headers: a_resource_id_that_is_not_the_last_destination_is_dropped_silently
Via List that leads to a victim: only the attacker could carry the answer on
    routing_headers: a_via_list_that_is_made_up_leads_nobody_to_a_victim
Opaque ID of nobody, or of another peer: silence
    routing_headers: an_opaque_id_that_nobody_has_given_out_is_dropped_silently,
    an_opaque_id_of_another_peer_is_dropped_silently
Wildcard to be forwarded; Node-ID that nobody has: answered here; silence
    routing_headers: the_wildcard_is_this_node_and_never_forwarded,
    a_node_id_of_the_own_range_that_nobody_has_is_dropped_silently
TTL over the initial one, TTL 0, unknown critical option, amplification: one error, back over the link, hardly larger
    routing_headers: a_request_that_cannot_go_on_gets_one_error_back_over_its_own_link,
    errors_on_a_link_are_so_many_and_no_more,
    an_unknown_critical_extension_keeps_a_request_from_being_done
Errors about errors and responses: silence
    routing_headers: there_is_no_error_about_a_response_nor_about_an_error,
    an_error_about_what_has_a_bad_signature_is_not_made
Message that is too large, or says that an answer must be small: Message_Too_Large and no link; Response_Too_Large
    routing_headers: a_message_over_the_largest_size_is_answered_and_its_link_closed,
    a_header_over_the_largest_size_has_its_link_closed_without_an_answer,
    an_answer_that_is_not_allowed_to_be_so_long_is_an_error
Lengths that lie: silence
    routing_headers: a_length_that_is_not_that_of_the_message_is_dropped_silently,
    lists_that_are_longer_than_the_message_are_dropped_silently
Fragments without end, contradictions, far offsets: silence, and no memory
    routing_answers: fragments_that_contradict_each_other_make_no_message, fragments_over_two_links_do_not_join,
    a_fragment_far_behind_the_largest_size_takes_no_memory, a_last_fragment_before_the_end_makes_no_message
    floods: every_table_is_within_its_limit
Answer of who was not asked (R7), of another method, to nothing, once more: silence, and the right one counts
    routing_answers: an_answer_of_another_node_than_was_asked_is_none,
    an_answer_of_a_peer_that_is_not_the_closest_is_none,
    who_answers_in_the_place_of_the_right_peer_cannot_forge_the_value, an_answer_to_nothing_has_no_effect,
    an_answer_that_comes_again_has_no_effect, an_answer_to_another_method_has_no_effect,
    a_join_answer_of_another_than_the_admitting_peer_lets_nobody_in
Error about data by who was only on the way (T19): silence
    routing_answers: an_error_about_data_by_who_was_only_on_the_way_is_none,
    a_store_cannot_be_said_to_have_failed_or_to_be_done_by_another,
    what_a_forwarder_may_say_ends_a_request_and_shows_nothing_else
Many Attaches, or candidates; unknown application: Request_Timeout, Invalid_Message; Not_Found
    topology: a_neighbor_with_many_node_ids_leaves_room_for_the_attaches_of_others,
    one_node_has_few_attaches_at_a_time_however_often_it_asks,
    an_attach_with_no_candidates_or_a_great_many_is_invalid, no_connection_is_attempted_to_addresses_of_many_hosts,
    an_app_attach_to_an_application_that_is_not_here_is_not_found, an_attach_gives_no_routing_to_who_sends_no_update
RouteQueries that want Updates: 32 of them
    topology: route_queries_are_owed_an_update_each_and_no_more_than_a_few_at_a_time,
    updates_for_route_queries_do_not_pile_up_when_nobody_acknowledges_them
Floods, of Pings too: so many of one neighbor, and every table within its limit
    floods: a_neighbor_has_so_many_messages_taken_and_others_are_served_meanwhile, every_table_is_within_its_limit,
    of_what_is_signed_every_table_is_within_its_limit, joins_of_many_nodes_at_once_are_told_to_wait,
    requests_for_others_are_forwarded_and_nothing_of_them_is_kept_beyond_the_limit,
    links_are_so_many_for_one_node_and_no_more, what_nobody_reads_does_not_pile_up
"""

import hashlib
from collections.abc import Iterator

import attrs
import pytest
from reload_hostile import (
    ATTACKER,
    BAD,
    HOME,
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

from reload._presentation import decode
from reload.contents import ErrorCode, MessageCode
from reload.destinations import NodeDestination
from reload.errors import SecurityError
from reload.message import Message, decode_body, decode_message
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
from reload.signing import KeySigner, OverlayVerifier, data_input, encode_signed, value_octets, verify_message
from reload.storage_messages import StoredSingle

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
    digest = hashlib.sha256(of.node_id + of.certificates[0].certificate).digest()
    return SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, CertificateHash(4, digest))


def _own_hash(of: KeySigner) -> SignerIdentity:
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


def test_every_message_of_a_ring_is_signed_and_brings_all_certificates_that_it_needs(ring: Ring) -> None:
    """Joins, Attaches, Updates, Stores, replicas, Fetches and their answers; nothing is looked up elsewhere."""
    ring.attacker().send(MessageCode.PING_REQ, PingReq(), ttl=255)
    assert ring.serves()
    codes, values = set(), 0
    for *_, octets in ring.sent:
        message = decode_message(octets)
        verifier = OverlayVerifier(ring.hosts[0].node.in_force.verifier.trust)
        verify_message(message, verifier, NOW + ring.now)
        code, block = message.contents.message_code, message.security_block.certificates
        codes.add(code)
        body = decode_body(message.contents) if code in (MessageCode.STORE_REQ, MessageCode.FETCH_ANS) else None
        kinds = [] if body is None else body.kind_data if code == MessageCode.STORE_REQ else body.kind_responses
        for value in [decode(StoredSingle, each) for kind in kinds for each in kind.values]:
            covered = data_input(HOME, PRIVATE.id, value.storage_time, value_octets(value.value))
            assert verifier.verify(value.signature, covered, block, NOW).user_name == ALICE
            values += 1
    assert codes >= {3, 4, 7, 8, 9, 10, 15, 16, 19, 20, 23, 24, 0xFFFF}
    assert values > 4


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
