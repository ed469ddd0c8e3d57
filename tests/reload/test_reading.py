"""Fetch, Stat and Find as their users see them: what is asked, what is believed (RFC 6940 sections 7.4.2 to 7.4.4)."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_identities import NOT_AFTER, NOT_BEFORE, NOW, OVERLAY, authority, enrolled
from reload_storing import (
    ALICE,
    ARRAY,
    BOB,
    DICTIONARY,
    GONE,
    HOME,
    KINDS,
    SINGLE,
    UNSIGNED,
    Peer,
    entry,
    item,
    of,
    signed,
    there,
)

from reload._chain import Trust
from reload._presentation import decode, encode
from reload.errors import StateError
from reload.exchange import Answer, Response
from reload.header import ForwardingHeader
from reload.null_security import NullVerifier
from reload.operations import Failed, Fetch, Fetched, Find, Found, Metadata, Stat, Wanted
from reload.reading import NO_SIGNATURE, Reader, find_request, read_found
from reload.signing import OverlayVerifier
from reload.storage_messages import (
    APPEND,
    STORED_DATA,
    ArrayEntry,
    ArrayRange,
    ArraySpecifier,
    DataValue,
    DictionaryEntry,
    DictionarySpecifier,
    FetchAns,
    FetchKindResponse,
    FindAns,
    FindKindData,
    SingleSpecifier,
    StatAns,
)

READER = Reader(KINDS, NullVerifier())
IDENTITY = NullVerifier().identify(BOB.certificates[0].certificate, (), 0.0)
HEADER = ForwardingHeader(0, 1, ())
ALL = ArraySpecifier((ArrayRange(0, APPEND),))
WANT_SINGLE = Fetch(HOME, (Wanted(SINGLE.id, SingleSpecifier()),))
WANT_ARRAY = Fetch(HOME, (Wanted(ARRAY.id, ArraySpecifier((ArrayRange(0, 1), ArrayRange(5, 6)))),))
WANT_KEYS = Fetch(HOME, (Wanted(DICTIONARY.id, DictionarySpecifier((b"a", b"b"))),))
WANT_DICTIONARY = Fetch(HOME, (Wanted(DICTIONARY.id, DictionarySpecifier(())),))


def response(body: Any, *signers: Any) -> Response:
    certificates = tuple(each for signer in (BOB, *(signers or (ALICE,))) for each in signer.certificates)
    return Response(1, 10, body, IDENTITY, HEADER, certificates)


def read(operation: Fetch, *parts: FetchKindResponse, reader: Reader = READER, wall: float = NOW) -> Any:
    return reader.fetched(operation, response(FetchAns(parts)), wall)


def part(kind: Any, *values: bytes, generation: int = 1) -> FetchKindResponse:
    return FetchKindResponse(kind.id, generation, values)


def synthetic(kind: Any, value: Any, **changes: Any) -> bytes:
    fields: dict[str, Any] = {"storage_time": 0, "lifetime": 0, "value": value, "signature": UNSIGNED, **changes}
    return encode(STORED_DATA[kind.data_model](**fields))


def octets(fetched: Any, kind: Any) -> list[bytes | None]:
    assert isinstance(fetched, Fetched), fetched
    found = []
    for each in fetched.kinds[kind.id].values:
        value = each.data.value if isinstance(each.data.value, DataValue) else each.data.value.value
        found.append(value.value if value.exists else None)
    return found


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_a_fetch_asks_for_each_kind_with_its_generation_and_specifier() -> None:
    made = READER.request(Fetch(HOME, (Wanted(SINGLE.id, SingleSpecifier()), Wanted(ARRAY.id, ALL, 7))))
    assert made.resource == HOME
    assert [(each.kind, each.generation, each.model_specifier.hex()) for each in made.specifiers] == [
        (SINGLE.id, 0, ""),
        (ARRAY.id, 7, "0008" + "00000000ffffffff"),
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (Wanted(SINGLE.id, SingleSpecifier()), Wanted(SINGLE.id, SingleSpecifier(), 3)),
        (Wanted(0xF0000099, SingleSpecifier()),),
        (Wanted(SINGLE.id, ALL),),
        (Wanted(ARRAY.id, ArraySpecifier((ArrayRange(3, 2),))),),
        (Wanted(ARRAY.id, ArraySpecifier((ArrayRange(0, 2), ArrayRange(2, 3)))),),
    ],
    ids=["nothing", "twice", "unknown", "model", "backwards", "overlap"],
)
def test_a_fetch_and_a_stat_that_make_no_sense_are_refused_at_once(wanted: tuple[Wanted, ...]) -> None:
    for operation in (Fetch(HOME, wanted), Stat(HOME, wanted)):
        with pytest.raises(StateError):
            READER.request(operation)


# -- what is believed of a FetchAns ------------------------------------------------------------------------------------


def test_a_value_that_holds_has_its_signer() -> None:
    fetched = read(WANT_SINGLE, part(SINGLE, signed(SINGLE, there(b"x"), time=5), generation=9))
    assert octets(fetched, SINGLE) == [b"x"]
    found = fetched.kinds[SINGLE.id]
    assert (found.generation, found.values[0].data.storage_time) == (9, 5)
    assert found.values[0].identity.node_id == ALICE.node_id
    assert not fetched.is_partial


@pytest.mark.parametrize(
    "value",
    [
        signed(SINGLE, there(b"x"), time=5, by=BOB),
        signed(SINGLE, there(b"x"), time=5, at=bytes(16)),
        signed(attrs.evolve(SINGLE, id=ARRAY.id), there(b"x"), time=5),
        signed(SINGLE, there(b"x"), time=5)[:-1],
        signed(SINGLE, there(b"x"), time=5) + b"\0",
        bytes(7) + b"\x06" + signed(SINGLE, there(b"x"), time=5)[8:],
        signed(SINGLE, there(b"x"), time=5).replace(b"\0\0\0\x01x", b"\0\0\0\x01y"),
        signed(SINGLE, DataValue(False, b"x"), time=5),
        b"",
    ],
    ids=["policy", "resource", "kind", "short", "long", "time", "value", "gone with octets", "none"],
)
def test_a_value_that_does_not_hold_is_discarded_and_the_rest_is_partial(value: bytes) -> None:
    fetched = read(WANT_SINGLE, part(SINGLE, value))
    assert octets(fetched, SINGLE) == []
    assert fetched.is_partial


def test_the_lifetime_is_not_signed() -> None:
    value = signed(SINGLE, there(b"x"), time=5)
    fetched = read(WANT_SINGLE, part(SINGLE, value[:8] + bytes(4) + value[12:]))
    assert octets(fetched, SINGLE) == [b"x"]


def test_bad_values_keep_no_good_ones_back() -> None:
    fetched = read(
        WANT_DICTIONARY,
        part(
            DICTIONARY,
            signed(DICTIONARY, item(b"a", b"1"), time=5),
            signed(DICTIONARY, item(b"b", b"2"), time=5, by=BOB),
            signed(DICTIONARY, item(b"c", b"3"), time=5),
        ),
    )
    assert octets(fetched, DICTIONARY) == [b"1", b"3"]
    assert fetched.is_partial


def test_without_the_certificate_of_its_signer_a_value_is_discarded() -> None:
    value = part(SINGLE, signed(SINGLE, there(b"x"), time=5))
    fetched = READER.fetched(WANT_SINGLE, response(FetchAns((value,)), BOB), NOW)
    assert octets(fetched, SINGLE) == []


@pytest.mark.parametrize(("wall", "is_valid"), [(NOT_BEFORE - 1, False), (NOW, True), (NOT_AFTER + 1, False)])
def test_a_value_of_an_expired_certificate_is_discarded(wall: float, is_valid: bool) -> None:
    signer = enrolled(1, name="alice@example.org")
    verifier = OverlayVerifier(Trust(OVERLAY, root_certificates=(authority().certificate,)))
    body = FetchAns((part(SINGLE, signed(SINGLE, there(b"x"), time=5, by=signer)),))
    fetched = Reader(KINDS, verifier).fetched(WANT_SINGLE, response(body, signer), wall)
    assert isinstance(fetched, Fetched)
    assert len(fetched.kinds[SINGLE.id].values) == is_valid
    assert fetched.is_partial != is_valid


def test_a_policy_that_is_not_known_lets_nobody_write() -> None:
    reader = attrs.evolve(READER, policies={})
    assert read(WANT_SINGLE, part(SINGLE, signed(SINGLE, there(b"x"), time=5)), reader=reader).is_partial


def test_what_a_usage_does_not_allow_is_discarded() -> None:
    reader = attrs.evolve(READER, checks={SINGLE.id: lambda kind, at, value, signer: value.value != b"x"})
    assert octets(read(WANT_SINGLE, part(SINGLE, signed(SINGLE, there(b"x"), time=5)), reader=reader), SINGLE) == []
    assert octets(read(WANT_SINGLE, part(SINGLE, signed(SINGLE, there(b"y"), time=5)), reader=reader), SINGLE) == [b"y"]


def test_a_synthetic_value_says_that_there_is_none_and_has_no_signer() -> None:
    fetched = read(WANT_SINGLE, part(SINGLE, synthetic(SINGLE, GONE)))
    assert octets(fetched, SINGLE) == [None]
    assert fetched.kinds[SINGLE.id].values[0].identity is None
    assert not fetched.is_partial


def test_a_removed_value_has_the_signer_who_removed_it() -> None:
    fetched = read(WANT_SINGLE, part(SINGLE, signed(SINGLE, GONE, time=5)))
    assert octets(fetched, SINGLE) == [None]
    assert fetched.kinds[SINGLE.id].values[0].identity.node_id == ALICE.node_id


@pytest.mark.parametrize(
    "value",
    [
        synthetic(SINGLE, there(b"x")),
        synthetic(SINGLE, DataValue(False, b"x")),
        synthetic(SINGLE, GONE, signature=attrs.evolve(UNSIGNED, signature_value=b"\0")),
        synthetic(SINGLE, GONE, signature=attrs.evolve(UNSIGNED, algorithm=attrs.evolve(UNSIGNED.algorithm, hash=4))),
        synthetic(
            SINGLE, GONE, signature=attrs.evolve(UNSIGNED, algorithm=attrs.evolve(UNSIGNED.algorithm, signature=1))
        ),
        synthetic(SINGLE, GONE, signature=attrs.evolve(ALICE.sign(b""), algorithm=UNSIGNED.algorithm)),
    ],
    ids=["exists", "octets", "signature", "hash", "algorithm", "identity"],
)
def test_a_synthetic_value_in_another_form_is_discarded(value: bytes) -> None:
    fetched = read(WANT_SINGLE, part(SINGLE, value))
    assert octets(fetched, SINGLE) == []
    assert fetched.is_partial


def test_the_form_of_a_synthetic_signature_is_the_rfcs() -> None:
    assert encode(NO_SIGNATURE).hex() == "0000" + "030000" + "0000"


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (part(ARRAY),),
        (part(SINGLE), part(SINGLE)),
        (part(SINGLE), part(ARRAY)),
    ],
    ids=["none", "another", "twice", "more"],
)
def test_an_answer_that_is_not_about_each_kind_once_is_none(parts: tuple[FetchKindResponse, ...]) -> None:
    result = read(WANT_SINGLE, *parts)
    assert isinstance(result, Failed)
    assert (result.error, result.identity) == (None, IDENTITY)


def test_the_kinds_may_come_in_any_order() -> None:
    both = Fetch(HOME, (*WANT_SINGLE.wanted, *WANT_KEYS.wanted))
    fetched = read(both, part(DICTIONARY), part(SINGLE, signed(SINGLE, there(b"x"), time=5)))
    assert octets(fetched, SINGLE) == [b"x"]


def test_a_kind_that_is_known_no_more_makes_it_fail() -> None:
    reader = attrs.evolve(READER, kinds=KINDS.without([SINGLE.id]))
    assert isinstance(read(WANT_SINGLE, part(SINGLE), reader=reader), Failed)


def test_another_body_makes_it_fail() -> None:
    assert isinstance(READER.fetched(WANT_SINGLE, response(StatAns(())), NOW), Failed)
    assert isinstance(READER.metadata(Stat(HOME, WANT_SINGLE.wanted), response(FetchAns(()))), Failed)
    assert isinstance(read_found(Find(HOME, (1,)), response(FetchAns(()))), Failed)


def test_values_that_were_not_asked_for_are_discarded() -> None:
    keys = [signed(DICTIONARY, item(key, key), time=5) for key in (b"a", b"z")]
    fetched = read(WANT_KEYS, part(DICTIONARY, *keys))
    assert octets(fetched, DICTIONARY) == [b"a"]
    assert fetched.is_partial
    entries = [signed(ARRAY, entry(index, b"%d" % index), time=5) for index in (0, 1, 2, 4, 5, 6, 7)]
    fetched = read(WANT_ARRAY, part(ARRAY, *entries))
    assert octets(fetched, ARRAY) == [b"0", b"1", b"5", b"6"]
    assert fetched.is_partial


def test_all_keys_and_all_indices_may_be_asked_for() -> None:
    keys = [signed(DICTIONARY, item(key, key), time=5) for key in (b"a", b"z")]
    assert octets(read(WANT_DICTIONARY, part(DICTIONARY, *keys)), DICTIONARY) == [b"a", b"z"]
    entries = [signed(ARRAY, entry(index, b"x"), time=5) for index in (0, APPEND - 1)]
    fetched = read(Fetch(HOME, (Wanted(ARRAY.id, ALL),)), part(ARRAY, *entries))
    assert [each.data.value.index for each in fetched.kinds[ARRAY.id].values] == [0, APPEND - 1]


def test_of_two_values_in_one_place_the_first_counts() -> None:
    values = [signed(SINGLE, there(octets), time=5) for octets in (b"1", b"2")]
    fetched = read(WANT_SINGLE, part(SINGLE, *values))
    assert octets(fetched, SINGLE) == [b"1"]
    assert fetched.is_partial


def test_array_entries_may_stand_where_they_were_appended() -> None:
    appended = decode(STORED_DATA[ARRAY.data_model], signed(ARRAY, entry(APPEND, b"x"), time=5))
    moved = encode(attrs.evolve(appended, value=ArrayEntry(1, appended.value.value)))
    assert octets(read(WANT_ARRAY, part(ARRAY, moved)), ARRAY) == [b"x"]


def test_no_values_may_come_when_the_generation_is_still_the_same() -> None:
    operation = Fetch(HOME, (Wanted(SINGLE.id, SingleSpecifier(), 4),))
    fetched = read(operation, part(SINGLE, generation=4))
    assert fetched == Fetched({SINGLE.id: attrs.evolve(fetched.kinds[SINGLE.id], generation=4, values=())})


@given(st.binary(max_size=200))
def test_no_octets_of_a_value_raise(value: bytes) -> None:
    for operation, kind in ((WANT_SINGLE, SINGLE), (WANT_ARRAY, ARRAY), (WANT_KEYS, DICTIONARY)):
        assert isinstance(read(operation, part(kind, value)), Fetched)


def test_what_a_storage_answers_can_be_read() -> None:
    peer = Peer()
    peer.store(
        of(SINGLE, signed(SINGLE, there(b"s"), time=1)),
        of(ARRAY, signed(ARRAY, entry(0, b"0"), time=1), signed(ARRAY, entry(2, b"2"), time=1)),
        of(DICTIONARY, signed(DICTIONARY, item(b"a", b"1"), time=1)),
    )
    operation = Fetch(HOME, (*WANT_SINGLE.wanted, Wanted(ARRAY.id, ALL), *WANT_KEYS.wanted))
    answer = peer.storage.fetch(READER.request(operation), 0.0)
    assert isinstance(answer, Answer)
    fetched = READER.fetched(operation, attrs.evolve(response(answer.body), certificates=answer.certificates), NOW)
    assert octets(fetched, SINGLE) == [b"s"]
    assert octets(fetched, ARRAY) == [b"0", None, b"2"]
    assert octets(fetched, DICTIONARY) == [b"1", None]
    assert not fetched.is_partial


# -- Stat --------------------------------------------------------------------------------------------------------------


def stat_of(peer: Peer, operation: Stat) -> Any:
    answer = peer.storage.stat(READER.request(operation), 0.0)
    assert isinstance(answer, Answer)
    return answer.body


def test_metadata_is_told_by_kind() -> None:
    peer = Peer()
    peer.store(of(DICTIONARY, signed(DICTIONARY, item(b"a", b"123"), time=1)))
    operation = Stat(HOME, WANT_KEYS.wanted)
    result = READER.metadata(operation, response(stat_of(peer, operation)))
    assert isinstance(result, Metadata)
    assert result.generations == {DICTIONARY.id: 1}
    assert [(each.metadata.key, each.metadata.value.value_length) for each in result.kinds[DICTIONARY.id]] == [  # type: ignore[union-attr]
        (b"a", 3),
        (b"b", 0),
    ]


@pytest.mark.parametrize("change", ["kind", "octets", "twice", "unasked"])
def test_metadata_that_cannot_be_makes_it_fail(change: str) -> None:
    peer = Peer()
    peer.store(of(DICTIONARY, signed(DICTIONARY, item(b"a", b"123"), time=1)))
    operation = Stat(HOME, WANT_KEYS.wanted)
    (made,) = stat_of(peer, operation).kind_responses
    body = {
        "kind": attrs.evolve(made, kind=SINGLE.id),
        "octets": attrs.evolve(made, values=(made.values[0] + b"\0",)),
        "twice": attrs.evolve(made, values=made.values[:1] * 2),
        "unasked": attrs.evolve(made, values=(made.values[0].replace(b"\0\x01a", b"\0\x01z"),)),
    }[change]
    assert isinstance(READER.metadata(operation, response(StatAns((body,)))), Failed)


# -- Find --------------------------------------------------------------------------------------------------------------


def test_a_find_asks_for_its_kinds() -> None:
    assert (
        encode(find_request(Find(b"\xab" * 16, (1, 0x104)))).hex() == "10" + "ab" * 16 + "08" + "00000001" + "00000104"
    )


@pytest.mark.parametrize("kinds", [(), (1, 2, 1), tuple(range(64))])
def test_a_find_with_no_kind_or_too_many_or_one_twice_is_refused(kinds: tuple[int, ...]) -> None:
    with pytest.raises(StateError):
        find_request(Find(HOME, kinds))


def test_what_is_found_is_told_by_kind_and_nothing_of_kinds_that_may_not_be_sought() -> None:
    answer = FindAns((FindKindData(2, b"\x07" * 16), FindKindData(1, bytes(16))))
    assert read_found(Find(HOME, (1, 2, 3)), response(answer)) == Found({2: b"\x07" * 16, 1: bytes(16)})


def test_no_resource_may_be_told_without_octets() -> None:
    assert read_found(Find(HOME, (1,)), response(FindAns((FindKindData(1, b""),)))) == Found({1: bytes(16)})


@pytest.mark.parametrize(
    "results", [(FindKindData(9, bytes(16)),), (FindKindData(1, bytes(16)), FindKindData(1, bytes(16)))]
)
def test_what_was_not_sought_or_found_twice_makes_it_fail(results: tuple[FindKindData, ...]) -> None:
    assert isinstance(read_found(Find(HOME, (1,)), response(FindAns(results))), Failed)


def test_dictionary_entries_are_read_as_such() -> None:
    fetched = read(WANT_DICTIONARY, part(DICTIONARY, signed(DICTIONARY, item(b"k", b"v"), time=5)))
    assert fetched.kinds[DICTIONARY.id].values[0].data.value == DictionaryEntry(b"k", there(b"v"))
