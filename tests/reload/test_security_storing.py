"""What a hostile node tries on stored data and on the configuration (RFC 6940 sections 13.5, 6.5.4 and 7.4).

The table of all negatives is in test_security_identity.py. What a storage alone refuses is in test_storage_security.py:
here are whole messages, and peers that find their own place.
"""

from collections.abc import Callable, Iterator

import attrs
import pytest
from reload_configurations import configuration_signer, document, kind_signer
from reload_hostile import (
    ATTACKER,
    BAD,
    HOME,
    PRIVATE,
    STEP,
    Attacker,
    Ring,
    bucket,
    changed,
    error_code,
    place,
    signer,
    store_of,
    stored,
    twisted,
    unharmed,
)
from reload_identities import ALICE, NOW, enrolled
from reload_overlay import Host

from reload._presentation import encode
from reload.configuration_writer import write_kind_block
from reload.configuring import MAX_TELLING
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.kinds import AccessControl, Kind
from reload.message import Message, decode_message
from reload.methods import ConfigUpdateReq, ConfigUpdateType, PingReq
from reload.naming import resource_id
from reload.operations import Stored
from reload.security_block import SignatureAndHashAlgorithm, SignerIdentity, SignerIdentityType
from reload.signing import KeySigner, encode_signed
from reload.storage_messages import FetchAns, FetchKindResponse, StoreKindData, StoreReq

ALICES = signer(place(0), ALICE)
STORE = MessageCode.STORE_REQ
LATE = int((NOW + 5000) * 1000)


@pytest.fixture
def ring() -> Iterator[Ring]:
    with unharmed() as made:
        yield made


def _stores(ring: Ring, replica: int) -> list[Message]:
    """The Stores that were sent, as whoever listened has them."""
    found = [decode_message(octets) for *_, octets in ring.sent]
    kept = [message for message in found if message.contents.message_code == STORE]
    at = 1 + len(HOME)
    return [message for message in kept if message.contents.message_body[at] == replica and HOME in message.signed]


def _again(message: Message, destination: bytes, **fields: object) -> bytes:
    """The same, signed as it was, to another peer."""
    header = attrs.evolve(message.header, destination_list=(NodeDestination(destination),), via_list=(), **fields)
    return encode_signed(attrs.evolve(message, header=header))


def _codes(messages: list[Message]) -> list[int]:
    return [error_code(message) for message in messages]


# Replayed and rolled back.


def test_a_store_that_is_replayed_is_too_old(ring: Ring) -> None:
    """Within 15 seconds it is a duplicate, and gets the answer that it got; then nothing is old enough to fit."""
    attacker = ring.attacker(ring.responsible)
    (store,) = {message.header.transaction_id: message for message in _stores(ring, 0)}.values()
    ring.settle(20.0)
    for _ in range(3):
        assert _codes(attacker.send_octets(_again(store, place(ring.responsible)))) == [ErrorCode.DATA_TOO_OLD]
        ring.settle(16.0)


def test_a_duplicate_of_a_store_is_answered_and_stored_once() -> None:
    ring = Ring()
    assert isinstance(ring.store(b"of Alice", LATE), Stored)
    before = ring.state()
    attacker = ring.attacker(ring.responsible)
    store = _stores(ring, 0)[-1]
    codes = [m.contents.message_code for m in attacker.send_octets(_again(store, place(ring.responsible)))]
    assert codes == [MessageCode.STORE_ANS]
    assert ring.state() == before
    assert ring.serves()


def test_a_value_is_not_rolled_back_by_what_was_stored_before_it() -> None:
    ring = Ring()
    first = _stores(ring, 0)[-1]
    assert isinstance(ring.store(b"newer"), Stored)
    ring.settle(30.0)
    before = ring.state()
    for number in range(5):
        attacker = ring.attacker(number)
        expected = ErrorCode.DATA_TOO_OLD if number == ring.responsible else ErrorCode.FORBIDDEN
        assert _codes(attacker.send_octets(_again(first, place(number)))) == [expected]
    assert ring.state() == before
    assert ring.fetch(ring.hosts[4]) == [b"newer"]


def test_replicas_that_are_replayed_change_nothing() -> None:
    """Also over the link of another than the peer that has sent them, and at peers that they were not for."""
    ring = Ring()
    old = _stores(ring, 1) + _stores(ring, 2)
    assert len(old) >= 2
    assert isinstance(ring.store(b"newer"), Stored)
    ring.settle(30.0)
    before = ring.state()
    attackers = [ring.attacker(number) for number in range(5)]
    for message in old:
        for number, attacker in enumerate(attackers):
            (code,) = _codes(attacker.send_octets(_again(message, place(number))))
            assert code in (ErrorCode.DATA_TOO_OLD, ErrorCode.FORBIDDEN)
            ring.settle(16.0)
    assert ring.state() == before
    assert ring.fetch(ring.hosts[4]) == [b"newer"]


def test_alice_herself_cannot_go_back_in_time(ring: Ring) -> None:
    attacker = ring.attacker(ring.responsible)
    for time in (0, 1, int(NOW * 1000)):
        body = store_of(stored(b"older", time, by=ALICES))
        codes = attacker.errors(STORE, body, signer=ALICES, transaction=ring.transaction())
        assert codes == [ErrorCode.DATA_TOO_OLD]


# Of others.


def test_nobody_stores_in_the_name_of_alice(ring: Ring) -> None:
    """Its own value at her place; hers, which was heard, as if it were its own; and hers in a Store that it has cut."""
    attacker = ring.attacker(ring.responsible)
    own = signer(ATTACKER)
    hers = stored(b"hers", LATE, by=ALICES)
    both = twisted(own, certificates=bucket(own, ALICES))
    for value in (stored(b"his", LATE, by=own), hers, changed(hers, storage_time=LATE + 1), changed(hers, lifetime=1)):
        codes = attacker.errors(STORE, store_of(value), signer=both, transaction=ring.transaction())
        assert codes == [ErrorCode.FORBIDDEN]


@pytest.mark.parametrize("exists", [False, True])
def test_a_synthetic_value_is_forbidden(ring: Ring, exists: bool) -> None:
    nothing = twisted(
        ALICES,
        SignerIdentity(SignerIdentityType.NONE, None),
        change=lambda made: attrs.evolve(made, algorithm=SignatureAndHashAlgorithm(0, 0), signature_value=b""),
    )
    attacker = ring.attacker(ring.responsible)
    value = stored(b"", LATE, by=nothing, exists=exists)  # type: ignore[arg-type]
    for replica, generation in ((0, 0), (1, 5)):
        body = store_of(value, replica=replica, generation=generation)
        codes = attacker.errors(STORE, body, signer=ALICES, transaction=ring.transaction())
        assert codes == [ErrorCode.FORBIDDEN]


def test_a_store_at_a_peer_that_is_not_responsible_is_forbidden(ring: Ring) -> None:
    """By a Node-ID: what goes to the Resource-ID is forwarded to who is."""
    for number in range(5):
        attacker = ring.attacker(number)
        body = store_of(stored(b"far", LATE, by=ALICES))
        if number != ring.responsible:
            errors = attacker.errors(STORE, body, signer=ALICES, transaction=ring.transaction())
            assert errors == [ErrorCode.FORBIDDEN]


def test_a_replica_by_an_implausible_peer_is_forbidden_wherever_it_goes(ring: Ring) -> None:
    """Its signer is no peer near the resource; the value in it is Alice's own, and newer than any."""
    far = signer(((ring.responsible + 2) % 5 * STEP + STEP // 2).to_bytes(16, "big"))
    carrier = twisted(far, certificates=bucket(far, ALICES))
    value = stored(b"newer", LATE, by=ALICES)
    for number in range(5):
        attacker = ring.attacker(number, node_id=far.node_id, by=far)
        for replica in (1, 2, 3, 255):
            body = store_of(value, replica=replica, generation=9)
            sent = attacker.send(STORE, body, signer=carrier, transaction=ring.transaction())
            # The responsible peer may ask what there is, as after a partition.
            answers = [each for each in sent if each.contents.message_code != MessageCode.FETCH_REQ]
            assert [error_code(each) for each in answers] == [ErrorCode.FORBIDDEN]


def test_a_replica_of_generation_0_is_refused_also_from_a_plausible_peer(ring: Ring) -> None:
    near = signer(place(ring.responsible))
    carrier = twisted(near, certificates=bucket(near, ALICES))
    attacker = ring.attacker((ring.responsible + 1) % 5)
    body = store_of(stored(b"newer", LATE, by=ALICES), replica=1, generation=0)
    assert len(attacker.errors(STORE, body, signer=carrier)) == 1


@pytest.mark.parametrize(
    ("generation", "size", "kinds", "expected"),
    [
        (2, 1, (PRIVATE.id,), ErrorCode.GENERATION_COUNTER_TOO_LOW),
        (1 << 63, 1, (PRIVATE.id,), ErrorCode.GENERATION_COUNTER_TOO_LOW),
        (0, 101, (PRIVATE.id,), ErrorCode.DATA_TOO_LARGE),
        (0, 1, (PRIVATE.id, PRIVATE.id), ErrorCode.INVALID_MESSAGE),
        (0, 1, (PRIVATE.id, 0xF0000099), ErrorCode.UNKNOWN_KIND),
    ],
)
def test_a_store_is_taken_as_a_whole_or_not_at_all(
    ring: Ring, generation: int, size: int, kinds: tuple[int, ...], expected: ErrorCode
) -> None:
    attacker = ring.attacker(ring.responsible)
    data = tuple(StoreKindData(kind, generation, (stored(bytes(size), LATE, by=ALICES, kind=kind),)) for kind in kinds)
    assert attacker.errors(STORE, StoreReq(HOME, 0, data), signer=ALICES) == [expected]


def test_a_resource_that_is_named_otherwise_than_the_message_is_sent_to_is_not_stored(ring: Ring) -> None:
    """The destination is the responsible peer's, the resource another's."""
    elsewhere = resource_id(b"bob@example.org")
    bob = enrolled(77, "bob@example.org", name="bob")
    attacker = ring.attacker(0)
    body = store_of(stored(b"x", LATE, by=bob, at=elsewhere), at=elsewhere)
    (answer,) = attacker.send(STORE, body, ResourceDestination(HOME), signer=bob)
    owner = next(number for number in range(5) if ring.hosts[number].node.topology.is_responsible(elsewhere))
    assert owner != ring.responsible
    assert error_code(answer) == ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: (stored(b"forged", LATE, by=signer(ATTACKER)),), id="by another"),
        pytest.param(lambda: (changed(stored(b"hers", 5, by=ALICES), storage_time=LATE),), id="with a later time"),
        pytest.param(lambda: (stored(b"older", 5, by=ALICES),), id="older"),
        pytest.param(lambda: (stored(b"hers", LATE, by=ALICES, at=bytes(16)),), id="of another resource"),
        pytest.param(tuple, id="none"),
    ],
)
def test_a_peer_that_says_to_have_newer_values_has_to_show_them(answer: Callable[[], tuple[bytes, ...]]) -> None:
    """A replica Store that fails as Data_Too_Old has the responsible peer fetch what is newer, and replace its own."""
    ring = Ring()
    owner, liar = ring.hosts[ring.responsible], ring.hosts[(ring.responsible + 1) % 5]
    (link,) = [wire.link for wire in owner.wires.values() if wire.other and wire.other.peer is liar]
    mouth = ring.attacker(ring.responsible)
    mouth.link, mouth.signer = link, signer(liar.node_id)
    asked: list[int] = []

    def lie(sender: Host, receiver: Host, octets: bytes) -> bool:
        message = decode_message(octets)
        code = message.contents.message_code
        if sender is not owner or receiver is not liar or code not in (STORE, MessageCode.FETCH_REQ):
            return True
        asked.append(code)
        body: object = ErrorResponse(ErrorCode.DATA_TOO_OLD, b"")
        reply = int(MessageCode.ERROR)
        if code == MessageCode.FETCH_REQ:
            body, reply = FetchAns((FetchKindResponse(PRIVATE.id, 99, answer()),)), MessageCode.FETCH_ANS
        twisted_by = twisted(mouth.signer, certificates=bucket(mouth.signer, ALICES, signer(ATTACKER)))  # type: ignore[arg-type]
        made = mouth.octets(reply, body, transaction=message.header.transaction_id, signer=twisted_by)
        owner.node.receive_message(link, made, ring.now)
        return False

    ring.on_send = lie
    assert isinstance(ring.store(b"newest", int((NOW + ring.now) * 1000)), Stored)
    before = owner.node.storage.snapshot(0.0)
    ring.settle(60.0)
    assert set(asked) == {STORE, MessageCode.FETCH_REQ}
    assert len(asked) < 40
    assert owner.node.storage.snapshot(0.0) == before
    assert ring.fetch(ring.hosts[(ring.responsible + 3) % 5]) == [b"newest"]


# The configuration.

CONFIG = MessageCode.CONFIG_UPDATE_REQ
SEQUENCE = 22
OTHER_KIND = Kind(0xF0000042, PRIVATE.data_model, AccessControl.USER_MATCH, 1, 100)


def _document(sequence: int, **fields: object) -> bytes:
    return document((PRIVATE,), no_ice=True, bad_nodes=(BAD,), sequence=sequence, **fields)  # type: ignore[arg-type]


def _unsigned(octets: bytes) -> bytes:
    return octets[: octets.rindex(b"<signature")] + octets[octets.rindex(b"</signature>") + len(b"</signature>") :]


GOOD = _document(SEQUENCE + 1)
DOCUMENTS = {
    "signed by the attacker": (_document(SEQUENCE + 1, signer=signer(ATTACKER)), ErrorCode.FORBIDDEN),
    "signed by a kind-signer": (_document(SEQUENCE + 1, signer=kind_signer()), ErrorCode.FORBIDDEN),
    "signed by whom it makes a signer itself": (
        _document(SEQUENCE + 1, signer=signer(ATTACKER), configuration_signers=(ATTACKER,)),
        ErrorCode.FORBIDDEN,
    ),
    "unsigned": (_unsigned(GOOD), ErrorCode.FORBIDDEN),
    "changed behind the signature": (
        GOOD.replace(b"<max-message-size>5000", b"<max-message-size>9000"),
        ErrorCode.FORBIDDEN,
    ),
    "of the same sequence": (_document(SEQUENCE), ErrorCode.CONFIG_TOO_OLD),
    "older": (_document(SEQUENCE - 1), ErrorCode.CONFIG_TOO_OLD),
    "half the circle ahead": (_document(SEQUENCE + 32768), ErrorCode.CONFIG_TOO_OLD),
    "older across the wrap": (_document(65534), ErrorCode.CONFIG_TOO_OLD),
    "of the sequence that none has": (GOOD.replace(b'sequence="23"', b'sequence="65535"'), ErrorCode.INVALID_MESSAGE),
    "of a sequence beyond 16 bits": (GOOD.replace(b'sequence="23"', b'sequence="65559"'), ErrorCode.INVALID_MESSAGE),
    "expired": (_document(SEQUENCE + 1, expiration=NOW - 5), ErrorCode.CONFIG_TOO_OLD),
    "of another overlay": (
        _document(SEQUENCE + 1, instance_name="other.example.org"),
        ErrorCode.INVALID_MESSAGE,
    ),
    "no XML": (b"\0" * 100, ErrorCode.INVALID_MESSAGE),
    "nothing": (b"", ErrorCode.INVALID_MESSAGE),
    "of entities within entities": (
        b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><overlay>&c;</overlay>',
        ErrorCode.INVALID_MESSAGE,
    ),
    "deep": (b"<overlay>" * 400, ErrorCode.INVALID_MESSAGE),
}


def _config(attacker: Attacker, octets: bytes, sequence: int) -> list[int]:
    body = ConfigUpdateReq(ConfigUpdateType.CONFIG, octets)
    ring = attacker.bench.ring
    return attacker.errors(CONFIG, body, transaction=ring.transaction(), configuration_sequence=sequence)


@pytest.mark.parametrize(("octets", "expected"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_configuration_that_is_not_the_successor_of_this_one_is_refused(octets: bytes, expected: ErrorCode) -> None:
    assert GOOD.count(b'sequence="23"') == 1
    with unharmed(max_message_size=5000) as ring:
        attacker = ring.attacker()
        for sequence in (SEQUENCE, 65535):
            assert _config(attacker, octets, sequence) == [expected]


def test_a_sequence_of_65535_is_none_except_in_a_config_update(ring: Ring) -> None:
    attacker = ring.attacker()
    updates = []
    for sequence in (65535, *range(20)):
        messages = attacker.send(
            MessageCode.PING_REQ, PingReq(), configuration_sequence=sequence, transaction=ring.transaction()
        )
        updates += [each for each in messages if each.contents.message_code == CONFIG]
        (code,) = [error_code(each) for each in messages if each.contents.message_code != CONFIG]
        assert code == ErrorCode.CONFIG_TOO_OLD
    # To whom seems to have an old one, the configuration is sent: once, however often it says so.
    assert len({each.header.transaction_id for each in updates}) == 1
    assert all(each.header.destination_list[0] == NodeDestination(ATTACKER) for each in updates)


def test_so_many_are_sent_the_configuration_at_a_time_and_others_when_they_ask_again(ring: Ring) -> None:
    attacker = ring.attacker()
    sybils = [signer((number + 10).to_bytes(16, "big"), name="sybil") for number in range(MAX_TELLING + 10)]

    def told(by: KeySigner) -> bool:
        messages = attacker.send(
            MessageCode.PING_REQ, PingReq(), configuration_sequence=3, transaction=ring.transaction(), signer=by
        )
        return CONFIG in [each.contents.message_code for each in messages]

    for by in sybils:
        told(by)
    transactions = {
        message.header.transaction_id
        for *_, receiver, octets in ring.sent
        if receiver == -1 and (message := decode_message(octets)).contents.message_code == CONFIG
    }
    assert len(transactions) == MAX_TELLING
    ring.settle(20.0)
    attacker.received()
    assert told(sybils[-1])
    ring.settle(20.0)


def test_requests_of_a_newer_configuration_are_refused_and_nothing_is_believed(ring: Ring) -> None:
    attacker = ring.attacker()
    for sequence in (SEQUENCE + 1, SEQUENCE + 32767):
        body = store_of(stored(b"x", LATE, by=ALICES))
        for code, octets in ((STORE, encode(body)), (CONFIG, encode(ConfigUpdateReq(ConfigUpdateType.CONFIG, GOOD)))):
            errors = attacker.errors(
                code, octets, transaction=ring.transaction(), configuration_sequence=sequence, signer=ALICES
            )
            assert errors == [ErrorCode.CONFIG_TOO_NEW]


BLOCK = write_kind_block(OTHER_KIND, kind_signer())
STRETCHED = attrs.evolve(PRIVATE, max_size=60_000)
KINDS = {
    "signed by the attacker": (write_kind_block(OTHER_KIND, signer(ATTACKER)), ErrorCode.FORBIDDEN),
    "signed by a configuration-signer": (write_kind_block(OTHER_KIND, configuration_signer()), ErrorCode.FORBIDDEN),
    "unsigned": (write_kind_block(OTHER_KIND), ErrorCode.FORBIDDEN),
    "changed behind the signature": (BLOCK.replace(b"<max-size>100", b"<max-size>900"), ErrorCode.FORBIDDEN),
    "another one of the configuration's, by a kind-signer": (
        write_kind_block(STRETCHED, kind_signer()),
        ErrorCode.FORBIDDEN,
    ),
    "another one of the configuration's, by the attacker": (
        write_kind_block(STRETCHED, signer(ATTACKER)),
        ErrorCode.FORBIDDEN,
    ),
    "no XML": (b"<kind", ErrorCode.INVALID_MESSAGE),
}


@pytest.mark.parametrize(("block", "expected"), KINDS.values(), ids=KINDS.keys())
def test_a_kind_that_no_kind_signer_has_signed_is_refused(ring: Ring, block: bytes, expected: ErrorCode) -> None:
    attacker = ring.attacker()
    body = ConfigUpdateReq(ConfigUpdateType.KIND, (block,))
    assert attacker.errors(CONFIG, body, configuration_sequence=65535) == [expected]


def test_a_good_kind_among_bad_ones_is_not_learned_either(ring: Ring) -> None:
    attacker = ring.attacker()
    bad, _ = KINDS["signed by the attacker"]
    for blocks in ((BLOCK, bad), (bad, BLOCK)):
        body = ConfigUpdateReq(ConfigUpdateType.KIND, blocks)
        errors = attacker.errors(CONFIG, body, transaction=ring.transaction(), configuration_sequence=65535)
        assert errors == [ErrorCode.FORBIDDEN]
