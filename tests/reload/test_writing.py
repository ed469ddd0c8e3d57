"""Stores as their users make them: signatures, times, what follows a refusal (RFC 6940 sections 7, 7.1 and 7.4.1)."""

from typing import Any

import pytest
from reload_identities import NOW, OVERLAY, authority, enrolled
from reload_storing import (
    ALICE,
    ARRAY,
    DICTIONARY,
    EPOCH,
    GONE,
    HOME,
    KINDS,
    SINGLE,
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
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents
from reload.destinations import ResourceDestination
from reload.errors import EncodeError, StateError
from reload.exchange import Answer, Response
from reload.header import ForwardingHeader
from reload.kinds import AccessControl, Kind, KindTable
from reload.message import Message
from reload.null_security import NullSigner, NullVerifier
from reload.operations import Failed, Fetch, Fetched, KindValues, NewValue, Send, Store, Stored, StoredValue
from reload.reading import Reader
from reload.signing import OverlayVerifier, data_input, encode_signed, sign_message
from reload.storage_messages import (
    APPEND,
    STORED_DATA,
    ArrayEntry,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DictionarySpecifier,
    FetchAns,
    FetchReq,
    SingleSpecifier,
    StoreAns,
    StoredSingle,
    StoreKindResponse,
    StoreReq,
)
from reload.writing import MAX_STORAGE_TIME, ROOM_FOR_LISTS, Writer, read_stored, removals

LARGE = 5000
WALL = EPOCH + 10.0
HEADER = ForwardingHeader(0, 1, ())
IDENTITY = NullVerifier().identify(ALICE.certificates[0].certificate, (), 0.0)


def new(value: Any, *, kind: Kind = SINGLE, lifetime: int = 100, **more: Any) -> NewValue:
    return NewValue(kind.id, value, lifetime, **more)


def store(*values: NewValue) -> Store:
    return Store(HOME, values)


def request(*values: NewValue, writer: Writer | None = None, wall: float = WALL, size: int = LARGE) -> StoreReq:
    return (writer or Writer(ALICE)).request(store(*values), KINDS, wall, max_message_size=size)


def stored_data(made: StoreReq, kind: Kind) -> list[Any]:
    octets = next(data.values for data in made.kind_data if data.kind == kind.id)
    return [decode(STORED_DATA[kind.data_model], each) for each in octets]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_store_has_one_part_for_each_kind_and_is_no_replica() -> None:
    made = request(
        new(item(b"a", b"1"), kind=DICTIONARY), new(there(b"s"), generation=7), new(item(b"b", b"2"), kind=DICTIONARY)
    )
    assert (made.resource, made.replica_number) == (HOME, 0)
    assert [(data.kind, data.generation_counter, len(data.values)) for data in made.kind_data] == [
        (DICTIONARY.id, 0, 2),
        (SINGLE.id, 7, 1),
    ]


def test_a_value_is_signed_over_its_resource_kind_and_time_but_not_its_lifetime() -> None:
    (data,) = stored_data(request(new(there(b"abc"), lifetime=77)), SINGLE)
    assert isinstance(data, StoredSingle)
    assert data.lifetime == 77
    covered = HOME + bytes.fromhex("f0000001") + data.storage_time.to_bytes(8) + b"\x01\0\0\0\x03abc"
    assert NullVerifier().verify(data.signature, covered, ALICE.certificates, WALL) == IDENTITY


@pytest.mark.parametrize("index", [0, 3, APPEND])
def test_an_array_entry_is_signed_with_index_0(index: int) -> None:
    (data,) = stored_data(request(new(entry(index, b"abc"), kind=ARRAY)), ARRAY)
    assert data.value.index == index
    covered = data_input(HOME, ARRAY.id, data.storage_time, bytes(4) + b"\x01\0\0\0\x03abc")
    assert NullVerifier().verify(data.signature, covered, ALICE.certificates, WALL) == IDENTITY


def test_a_real_signature_holds_for_a_peer_that_has_only_the_message() -> None:
    signer = enrolled(1, name="alice@example.org")
    kind = Kind(0xF0000009, DataModel.SINGLE, AccessControl.USER_MATCH, 1, 100)
    made = Writer(signer).request(
        Store(HOME, (NewValue(kind.id, there(b"v"), 100),)), KindTable([kind]), NOW, max_message_size=LARGE
    )
    verifier = OverlayVerifier(Trust(OVERLAY, root_certificates=(authority().certificate,)))
    found = Reader({kind.id: kind}, verifier).value(
        made.kind_data[0].values[0], kind.id, HOME, signer.certificates, NOW
    )
    assert found is not None
    assert found.identity is not None
    assert found.identity.node_id == signer.node_id


def test_the_storage_time_is_the_clock_in_milliseconds() -> None:
    (data,) = stored_data(request(new(there(b"")), wall=1_700_000_000.1239), SINGLE)
    assert data.storage_time == 1_700_000_000_123


def test_storage_times_grow_even_when_the_clock_does_not() -> None:
    writer = Writer(ALICE)
    times = [
        stored_data(request(new(there(b"")), writer=writer, wall=wall), SINGLE)[0].storage_time
        for wall in (1.0, 1.0, 0.5, 1.0004, 1.5)
    ]
    assert times == [1000, 1001, 1002, 1003, 1500]


def test_a_storage_time_of_the_users_own_is_used_and_does_not_move_the_clock() -> None:
    writer = Writer(ALICE)
    (data,) = stored_data(request(new(there(b""), storage_time=9 * 10**15), writer=writer, wall=1.0), SINGLE)
    assert data.storage_time == 9 * 10**15
    (data,) = stored_data(request(new(there(b"")), writer=writer, wall=2.0), SINGLE)
    assert data.storage_time == 2000


@pytest.mark.parametrize(
    "values",
    [
        (),
        (NewValue(0xF0000099, there(b""), 1),),
        (new(entry(0, b"")),),
        (new(there(b""), kind=ARRAY),),
        (new(there(b"a")), new(there(b"b"))),
        (new(item(b"k", b"a"), kind=DICTIONARY), new(item(b"k", b"b"), kind=DICTIONARY)),
        (new(entry(1, b"a"), kind=ARRAY), new(entry(2, b"b"), kind=ARRAY, generation=3)),
        (new(type(GONE)(False, b"octets")),),
    ],
    ids=["none", "unknown", "model", "model2", "twice", "key twice", "generations", "removed with octets"],
)
def test_what_can_be_in_no_store_is_refused_at_once(values: tuple[NewValue, ...]) -> None:
    with pytest.raises(StateError):
        Writer(ALICE).storing(store(*values), KINDS, WALL, max_message_size=LARGE)


def test_several_values_can_be_appended_at_once() -> None:
    made = request(new(entry(APPEND, b"a"), kind=ARRAY), new(entry(APPEND, b"b"), kind=ARRAY))
    assert len(made.kind_data[0].values) == 2


def test_a_value_over_the_limit_of_its_kind_is_refused_at_once() -> None:
    request(new(there(bytes(SINGLE.max_size))))
    with pytest.raises(EncodeError, match="Kind 4026531841 takes 100"):
        request(new(there(bytes(SINGLE.max_size + 1))))


@pytest.mark.parametrize("count", [1, 5])
def test_a_store_that_would_fit_no_message_is_refused_and_not_divided(count: int) -> None:
    """What is accepted does fit, with all the room for lists that is promised."""
    values = [new(item(b"%d" % i, bytes(50)), kind=DICTIONARY) for i in range(count)]
    signer = NullSigner(b"\xa1" * 16, "alice@example.org", certificate_size=600, signature_size=72)
    for size in range(700, 3000):
        try:
            made = Writer(signer).request(store(*values), KINDS, WALL, max_message_size=size)
        except EncodeError:
            continue
        break
    contents = MessageContents(MessageCode.STORE_REQ, encode(made))
    header = ForwardingHeader(1, 2, (ResourceDestination(HOME),))
    message: Message = sign_message(header, contents, signer)
    assert size - 20 <= len(encode_signed(message)) + ROOM_FOR_LISTS <= size + 20


# -- what comes back ---------------------------------------------------------------------------------------------------


def response(body: Any) -> Response:
    return Response(1, MessageCode.STORE_ANS, body, IDENTITY, HEADER, ALICE.certificates)


def answered(*parts: StoreKindResponse) -> Response:
    return response(StoreAns(parts))


def test_an_answer_tells_generations_and_replicas() -> None:
    made = request(new(there(b"")))
    peers = (b"\x01" * 16, b"\x02" * 16)
    result = read_stored(made, answered(StoreKindResponse(SINGLE.id, 9, peers)))
    assert result == Stored({SINGLE.id: 9}, {SINGLE.id: peers})


@pytest.mark.parametrize(
    "body",
    [
        StoreAns(()),
        StoreAns((StoreKindResponse(ARRAY.id, 1, ()),)),
        StoreAns((StoreKindResponse(SINGLE.id, 1, ()),) * 2),
        b"",
    ],
)
def test_an_answer_about_other_kinds_is_none(body: Any) -> None:
    result = read_stored(request(new(there(b""))), response(body))
    assert isinstance(result, Failed)
    assert result.error is None
    assert result.identity == IDENTITY


class Steps:
    """A store on its way: what it asks for, and verbs to answer."""

    def __init__(self, *values: NewValue, writer: Writer | None = None) -> None:
        self.plan = (writer or Writer(ALICE)).storing(store(*values), KINDS, WALL, max_message_size=LARGE)
        self.asked: Any = next(self.plan)
        self.result: Any = None

    def tell(self, result: Any) -> None:
        try:
            self.asked = self.plan.send(result)
        except StopIteration as stop:
            self.asked, self.result = None, stop.value

    def refuse(self, code: ErrorCode) -> Failed:
        failed = Failed(ErrorResponse(code), "refused", IDENTITY)
        self.tell(failed)
        return failed


def fetched(kind: Kind, *values: Any, generation: int = 3) -> Fetched:
    found = [StoredValue(decode(STORED_DATA[kind.data_model], each), IDENTITY) for each in values]
    return Fetched({kind.id: KindValues(kind.id, generation, tuple(found))})


def test_a_store_goes_to_its_resource() -> None:
    steps = Steps(new(there(b"")))
    assert isinstance(steps.asked, Send)
    assert (steps.asked.destination_list, steps.asked.message_code) == ((ResourceDestination(HOME),), 7)
    steps.tell(answered(StoreKindResponse(SINGLE.id, 1, ())))
    assert steps.result == Stored({SINGLE.id: 1}, {SINGLE.id: ()})


@pytest.mark.parametrize("code", [ErrorCode.FORBIDDEN, ErrorCode.DATA_TOO_LARGE, ErrorCode.UNKNOWN_KIND])
def test_other_errors_are_the_end_of_it(code: ErrorCode) -> None:
    steps = Steps(new(there(b"")))
    assert steps.refuse(code) == steps.result


def test_no_answer_is_the_end_of_it() -> None:
    steps = Steps(new(there(b"")))
    failed = Failed(None, "no answer")
    steps.tell(failed)
    assert steps.result == failed


def test_after_a_generation_too_low_what_is_there_is_fetched_for_the_user() -> None:
    steps = Steps(new(there(b"mine"), generation=2))
    failed = steps.refuse(ErrorCode.GENERATION_COUNTER_TOO_LOW)
    assert isinstance(steps.asked, Fetch)
    assert steps.asked.wanted[0].specifier == SingleSpecifier()
    present = fetched(SINGLE, signed(SINGLE, there(b"theirs"), time=5))
    steps.tell(present)
    assert steps.result.error == failed.error
    assert steps.result.present == present


def test_when_nothing_can_be_fetched_the_error_stays() -> None:
    steps = Steps(new(there(b"mine"), generation=2))
    failed = steps.refuse(ErrorCode.GENERATION_COUNTER_TOO_LOW)
    steps.tell(Failed(None, "no answer"))
    assert steps.result == failed


def test_after_data_too_old_it_is_stored_with_the_time_that_is_there_and_1() -> None:
    steps = Steps(new(there(b"mine")))
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    ahead = int(WALL * 1000) + 3_600_000
    steps.tell(fetched(SINGLE, signed(SINGLE, there(b"theirs"), time=ahead)))
    (data,) = stored_data(steps.asked.body, SINGLE)
    assert data.storage_time == ahead + 1
    assert data.value == there(b"mine")
    steps.tell(answered(StoreKindResponse(SINGLE.id, 8, ())))
    assert steps.result == Stored({SINGLE.id: 8}, {SINGLE.id: ()})


def test_it_is_stored_again_once_only() -> None:
    steps = Steps(new(there(b"mine")))
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    present = fetched(SINGLE, signed(SINGLE, there(b"theirs"), time=5))
    steps.tell(present)
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    assert steps.result.error == ErrorResponse(ErrorCode.DATA_TOO_OLD)
    assert steps.result.present == present


@pytest.mark.parametrize("time", [MAX_STORAGE_TIME, None])
def test_what_cannot_be_later_is_not_stored_again(time: int | None) -> None:
    steps = Steps(new(there(b"mine")))
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    values = () if time is None else (signed(SINGLE, there(b"x"), time=time),)
    steps.tell(fetched(SINGLE, *values))
    assert isinstance(steps.result, Failed)
    assert steps.result.present is not None


def test_a_time_that_the_user_has_chosen_is_not_changed() -> None:
    steps = Steps(new(there(b"mine"), storage_time=4))
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    steps.tell(fetched(SINGLE, signed(SINGLE, there(b"theirs"), time=5)))
    assert isinstance(steps.result, Failed)


def test_only_what_would_be_replaced_is_fetched() -> None:
    steps = Steps(
        new(item(b"a", b"1"), kind=DICTIONARY),
        new(item(b"b", b"1"), kind=DICTIONARY),
        new(entry(APPEND, b"x"), kind=ARRAY),
        new(entry(2, b"y"), kind=ARRAY),
    )
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    assert [wanted.specifier for wanted in steps.asked.wanted] == [
        DictionarySpecifier((b"a", b"b")),
        ArraySpecifier((ArrayRange(2, 2),)),
    ]


def test_the_time_of_another_key_does_not_matter() -> None:
    steps = Steps(new(item(b"a", b"1"), kind=DICTIONARY))
    steps.refuse(ErrorCode.DATA_TOO_OLD)
    steps.tell(
        fetched(
            DICTIONARY,
            signed(DICTIONARY, item(b"a", b"0"), time=40),
            signed(DICTIONARY, item(b"z", b"0"), time=90),
        )
    )
    (data,) = stored_data(steps.asked.body, DICTIONARY)
    assert data.storage_time == 41


def drive(steps: Steps, peer: Peer) -> None:
    """Have a real storage answer."""
    reader = Reader(KINDS, NullVerifier())
    while steps.asked is not None:
        if isinstance(steps.asked, Send):
            reply: Any = peer.store(*steps.asked.body.kind_data)
            reply = getattr(reply, "answer", reply)
        else:
            reply = peer.storage.fetch(reader.request(steps.asked), 0.0)
        if not isinstance(reply, Answer):
            steps.tell(Failed(reply, "refused", IDENTITY))
            continue
        found = Response(1, 0, reply.body, IDENTITY, HEADER, ALICE.certificates + reply.certificates)
        steps.tell(found if isinstance(steps.asked, Send) else reader.fetched(steps.asked, found, WALL))


def test_a_writer_whose_clock_is_behind_gets_its_value_stored() -> None:
    peer = Peer()
    ahead = int(WALL * 1000) + 10**9
    drive(Steps(new(there(b"other device"), storage_time=ahead)), peer)
    steps = Steps(new(there(b"mine")))
    drive(steps, peer)
    assert steps.result == Stored({SINGLE.id: 2}, {SINGLE.id: peer.where.replicas})
    assert peer.values(SINGLE) == [b"mine"]


# -- removing ----------------------------------------------------------------------------------------------------------


def test_values_are_removed_for_as_long_as_they_would_have_lasted() -> None:
    values = fetched(
        DICTIONARY,
        signed(DICTIONARY, item(b"a", b"1"), time=1, lifetime=500),
        signed(DICTIONARY, item(b"b", b"2"), time=1, lifetime=5),
    ).kinds[DICTIONARY.id]
    gone = removals(DICTIONARY.id, values.values, lifetime=60, generation=3)
    assert [(each.value.key, each.value.value, each.lifetime, each.generation) for each in gone] == [  # type: ignore[union-attr]
        (b"a", GONE, 530, 3),
        (b"b", GONE, 60, 3),
    ]


def test_single_values_and_array_entries_are_removed_where_they_are() -> None:
    single = fetched(SINGLE, signed(SINGLE, there(b"x"), time=1)).kinds[SINGLE.id]
    array = fetched(ARRAY, signed(ARRAY, entry(2, b"x"), time=1)).kinds[ARRAY.id]
    assert removals(SINGLE.id, single.values) == (NewValue(SINGLE.id, GONE, 130),)
    assert removals(ARRAY.id, array.values) == (NewValue(ARRAY.id, ArrayEntry(2, GONE), 130),)


@pytest.mark.parametrize("lifetime", [1, 100, 0xFFFFFFFF])
def test_nobody_can_store_a_removed_value_again_in_what_was_left_of_its_lifetime(lifetime: int) -> None:
    """It was fetched at 0.9 seconds, when less was told than was left, and removed a second later."""
    peer, value = Peer(), signed(SINGLE, there(b"x"), time=1, lifetime=lifetime)
    present = fetched(SINGLE, signed(SINGLE, there(b"x"), time=1, lifetime=lifetime - 1)).kinds[SINGLE.id]
    peer.store(of(SINGLE, value))
    (new,) = removals(SINGLE.id, present.values)
    generations(peer.store(of(SINGLE, signed(SINGLE, GONE, time=2, lifetime=new.lifetime)), now=1.0))
    assert error(peer.store(of(SINGLE, value), now=lifetime - 0.01)) == ErrorCode.DATA_TOO_OLD


def test_a_removed_value_is_stored_like_any_other() -> None:
    peer = Peer()
    drive(Steps(new(there(b"x"))), peer)
    present = fetched(SINGLE, signed(SINGLE, there(b"x"), time=1))
    steps = Steps(*removals(SINGLE.id, present.kinds[SINGLE.id].values), writer=Writer(ALICE))
    drive(steps, peer)
    assert isinstance(steps.result, Stored)
    body = peer.storage.fetch(FetchReq(HOME, ()), 0.0)
    assert isinstance(body, Answer)
    assert isinstance(body.body, FetchAns)
    (data,) = peer.read(SINGLE)
    assert data.value == GONE
