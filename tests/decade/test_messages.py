"""Messages, held against decade.cddl by a foreign validator, and against CBOR that is nearly one of them."""

from contextlib import suppress
from importlib.resources import files

import attrs
import pytest
from cddl_verifier import Validator
from decade_changes import CHANGES, REMOVED, changed, places
from decade_messages import ANY_MESSAGE, MESSAGES
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.errors import DecodeError, EncodeError, ErrorCode
from decade.messages import (
    AttrPatch,
    ChallengeRequest,
    Item,
    Limits,
    ObjectInfo,
    ObjectList,
    ObjectState,
    Problem,
    ResourcePolicy,
    Revocation,
    ServerInfo,
    TransferRequest,
    TransferState,
    decode_message,
    decode_problem,
    encode_message,
)
from decade.names import Name, name_of
from decade.scope import TokenPolicy
from decade.values import ABSENT, SignedName

HELLO = name_of(b"Hello World!")
LIMITS = Limits(
    max_object=2**26, max_ttl=10**6, max_token=4096, max_token_life=86400, max_list_page=1000, max_transfer_objects=256
)
CDDL = Validator(files("decade").joinpath("decade.cddl").read_text())


def conforms(octets, rule="decade-message"):
    return CDDL.validate(octets, rule, require_deterministic=True).valid


@pytest.mark.parametrize("rule", MESSAGES)
def test_every_message_that_is_written_conforms_to_the_cddl_and_is_read_as_it_was(rule):
    @given(MESSAGES[rule])
    def each(message):
        octets = encode_message(message)
        result = CDDL.validate(octets, rule, require_deterministic=True)
        assert result.valid, result.diagnostics
        assert decode_message(octets) == message
        assert encode_message(decode_message(octets)) == octets

    each()


# What we refuse beyond the CDDL: other hashes, what RFC 9164 says of prefixes, a server without the algorithm of all.
BEYOND = ("Suite ID", "name: a value of", "is not the algorithm", "a prefix", "sha-256 is not among")


def refusal_of(octets):
    try:
        decode_message(octets)
    except DecodeError as exc:
        return str(exc)
    return None


@given(ANY_MESSAGE, st.data())
def test_what_is_nearly_a_message_is_read_exactly_if_it_conforms_to_the_cddl(message, data):
    value = cbor.decode(encode_message(message))
    path = data.draw(st.sampled_from(list(places(value))[1:] or [()]))
    value = changed(value, path, data.draw(CHANGES))
    if value is REMOVED:
        return
    try:
        octets = cbor.encode(value)
    except EncodeError:
        return
    refusal = refusal_of(octets)
    if refusal is None:
        assert conforms(octets)
    else:
        assert not conforms(octets) or any(text in refusal for text in BEYOND), refusal


@given(st.binary(max_size=80))
def test_any_octets_are_a_message_or_a_decode_error(octets):
    with suppress(DecodeError):
        decode_message(octets)
    decode_problem(octets)


@given(ANY_MESSAGE)
def test_a_message_cut_short_is_none(message):
    octets = encode_message(message)
    for size in {0, 1, len(octets) // 2, len(octets) - 1}:
        with pytest.raises(DecodeError):
            decode_message(octets[:size])


def test_keys_from_64_on_survive_and_those_below_refuse_the_message():
    base = {0: 14, 1: HELLO.binary}
    message = decode_message(cbor.encode(base | {64: "new", 2**64 - 1: (1, None)}))
    assert message == ChallengeRequest(name=HELLO, ext={64: "new", 2**64 - 1: (1, None)})
    assert decode_message(encode_message(message)).ext == message.ext
    for key in (2, 63, -1, "new"):
        with pytest.raises(DecodeError, match=f"challenge-request: key {key!r} is not known"):
            decode_message(cbor.encode(base | {key: 0}))
    for key in (63, -1, 2**64, True, "new"):
        with pytest.raises(EncodeError, match="no extension"):
            encode_message(ChallengeRequest(name=HELLO, ext={key: 0}))


def test_what_was_read_cannot_be_changed_and_has_a_hash():
    message = decode_message(cbor.encode({0: 14, 1: HELLO.binary, 64: "new"}))
    with pytest.raises(TypeError):
        message.ext[64] = "old"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        message.name = HELLO
    assert len({message, decode_message(encode_message(message))}) == 1


def test_a_refusal_says_where():
    with pytest.raises(DecodeError, match="object-list: objects: object-info: size: 'x' is no integer"):
        decode_message(cbor.encode({0: 8, 1: ({0: 7, 1: HELLO.binary, 2: "x", 3: 0, 4: None, 8: 1},)}))


def test_null_and_absent_are_two_things():
    assert cbor.decode(encode_message(AttrPatch(expires=None))) == {0: 9, 4: None}
    assert decode_message(encode_message(AttrPatch())).expires is ABSENT
    info = ObjectInfo(name=HELLO, size=12, created=0, expires=None, state=ObjectState.STORED)
    assert decode_message(encode_message(info)).expires is None


@pytest.mark.parametrize(
    ("message", "member"),
    [
        (ResourcePolicy(weight=0), "weight"),
        (ResourcePolicy(weight=True), "weight"),
        (ResourcePolicy(weight=1, storage=2**64), "storage"),
        (ResourcePolicy(weight=1, priority=4), "priority"),
        (ResourcePolicy(weight=1, prefixes=("192.0.2.0/24",)), "prefixes"),
        (ObjectList(objects=(1,)), "objects"),
        (ObjectList(objects=[]), "objects"),
        (AttrPatch(media_type="t" * 256), "media_type"),
        (AttrPatch(media_type="\ud800"), "media_type"),
        (AttrPatch(media_type=""), "media_type"),
        (Problem(code=0), "problem"),
        (Problem(code=65), "problem"),
        (Revocation(cti=(b"short",)), "cti"),
        (ChallengeRequest(name=SignedName(HELLO, b"x")), "name"),
    ],
)
def test_what_the_cddl_does_not_allow_is_not_written(message, member):
    with pytest.raises(EncodeError, match=member):
        encode_message(message)


def test_a_revocation_is_of_one_kind():
    for choices in ({}, {"before": 1, "kid": b"k"}):
        with pytest.raises(DecodeError, match="exactly one"):
            Revocation(**choices)


def test_a_server_has_the_algorithm_that_all_have():
    members = {"versions": (1,), "server": "s", "object_template": "o", "drp_base": "d", "limits": LIMITS}
    with pytest.raises(DecodeError, match="sha-256"):
        ServerInfo(hash_algorithms=("sha-512",), features=(), **members)


def test_an_error_code_without_a_name_is_kept():
    octets = cbor.encode({"tag:decade.invalid,2026:v1": {0: 64}})
    assert decode_message(octets).code == 64
    item = Item(name=HELLO, state=TransferState.FAILED, octets=0, error=ErrorCode.GONE)
    assert item.error is ErrorCode.GONE


def test_tokens_are_not_shown():
    request = TransferRequest(direction=0, objects=(HELLO,), remote=None, token=b"secret token")
    assert "secret" not in repr(request)
    assert "priority" in repr(TokenPolicy())
    assert repr(Name("sha-256", HELLO.value))
