"""PPSTP messages: the RFC's examples, strict out, and whatever octets in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ppstp_schema import EXAMPLES, SCHEMA

from ppsp.errors import DecodeError
from ppsp.tracker import (
    AbilityNat,
    Action,
    AddressType,
    Connection,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    MessageError,
    PeerAddr,
    PeerInfo,
    PeerMode,
    PeerNum,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    SwarmResult,
    encode,
    parse_request,
    parse_response,
    to_json,
)

DIGITS = "a string of digits for a number"
ONE = "one object for an array"
# What requirement list and RFC say is wrong with each example as printed.
DEVIATIONS = {
    "connect_req_seeder": {f"connect.peer_addr: {ONE}"},
    "connect_req_leech": {
        f"connect.peer_num.concurrent_links: {DIGITS}",
        f"connect.peer_num.online_time: {DIGITS}",
        f"connect.peer_num.upload_bandwidth: {DIGITS}",
        f"connect.swarm_action: {ONE}",
    },
    "connect_req_leave_join": {
        f"connect.peer_num.concurrent_links: {DIGITS}",
        f"connect.peer_num.online_time: {DIGITS}",
        f"connect.peer_num.upload_bandwidth: {DIGITS}",
    },
    "connect_resp": {"peer_addr.type: absent, taken as REFLEXIVE", f"swarm_result: {ONE}"},
    "find_req": {
        "swarm_id: stands outside find",
        f"peer_num.concurrent_links: {DIGITS}",
        f"peer_num.online_time: {DIGITS}",
        f"peer_num.upload_bandwidth: {DIGITS}",
    },
    "find_resp": {f"swarm_result: {ONE}"},
    "stat_report_req": {"stat_report.Stat: stands for stat", f"stat_report.Stat: {ONE}"},
    "stat_report_resp": {f"swarm_result: {ONE}"},
}


def _parse(name: str, body: bytes) -> Any:
    return (parse_response if "resp" in name or "error" in name else parse_request)(body)


def test_all_eight_examples_of_the_rfc_are_here():
    """RFC 7846 sections 4.1.1.1, 4.1.2.1, 4.1.3.1"""
    assert {path.name.removesuffix(".rfc.txt") for path in EXAMPLES.glob("*.rfc.txt")} == set(DEVIATIONS)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_an_example_as_printed_is_understood_and_each_deviation_listed(name):
    """RFC 7846 sections 4.1.1.1, 4.1.2.1, 4.1.3.1"""
    parsed = _parse(name, (EXAMPLES / f"{name}.rfc.txt").read_bytes())
    assert to_json(parsed.message) == json.loads((EXAMPLES / f"{name}.strict.json").read_text())
    assert set(parsed.forgiven) == DEVIATIONS[name]
    assert len(parsed.forgiven) == len(DEVIATIONS[name])


@pytest.mark.parametrize("name", DEVIATIONS)
def test_an_example_put_right_needs_no_forgiveness_and_is_emitted_as_it_is(name):
    """RFC 7846 section 3"""
    text = (EXAMPLES / f"{name}.strict.json").read_bytes()
    parsed = _parse(name, text)
    assert parsed.forgiven == ()
    assert json.loads(encode(parsed.message)) == json.loads(text)
    SCHEMA.validate(json.loads(encode(parsed.message)))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "constructed").glob("*.json")), ids=lambda path: path.stem)
def test_a_constructed_message_is_read_and_emitted_as_it_is(path):
    """RFC 7846 sections 4.1.3, 4.3"""
    parsed = _parse(path.name, path.read_bytes())
    assert parsed.forgiven == ()
    assert json.loads(encode(parsed.message)) == json.loads(path.read_text())
    SCHEMA.validate(json.loads(encode(parsed.message)))


def test_there_is_a_constructed_message_for_every_error_code():
    """RFC 7846 section 8.4"""
    errors = [parse_response(path.read_bytes()).message for path in (EXAMPLES / "constructed").glob("error_*")]
    assert {error.error_code for error in errors} == set(ErrorCode) - {ErrorCode.NO_ERROR}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_message_cut_short_is_refused_at_every_octet(name):
    text = (EXAMPLES / f"{name}.strict.json").read_bytes()
    for length in range(len(text.rstrip())):
        with pytest.raises(DecodeError):
            _parse(name, text[:length])


@pytest.mark.parametrize(
    "make",
    [
        lambda: PeerAddr("192.0.2.2", 0),
        lambda: PeerAddr("192.0.2.2", 80, priority=-1),
        lambda: PeerAddr("tracker.example", 80),
        lambda: PeerAddr("fe80::1%2", 80),
        lambda: PeerNum(True),
        lambda: PeerNum(2**64),
        lambda: SwarmAction("", Action.JOIN, PeerMode.LEECH),
        lambda: SwarmAction("x" * 2049, Action.JOIN, PeerMode.LEECH),
        lambda: SwarmAction("\udfff", Action.JOIN, PeerMode.LEECH),
        lambda: ConnectRequest("1", "p", ()),
        lambda: StreamStats("1", uploaded_bytes=-5),
        lambda: ResponseMessage(ResponseType.SUCCESSFUL, 3, "1"),
        lambda: ResponseMessage(ResponseType.FAILED, 3, "1", PeerAddr("192.0.2.2", 80)),
    ],
)
def test_a_value_that_the_schema_does_not_allow_cannot_be_made(make):
    with pytest.raises(ValueError):
        make()


# -- properties -------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
number = st.integers(0, 2**64 - 1)
addresses = st.builds(
    PeerAddr,
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    port=st.integers(1, 65535),
    priority=number,
    type=st.sampled_from(AddressType),
    connection=st.none() | st.sampled_from(Connection),
    asn=st.none() | text,
    peer_protocol=st.none() | text,
)
peer_nums = st.none() | st.builds(
    PeerNum,
    number,
    st.none() | st.sampled_from(AbilityNat),
    st.none() | number,
    st.none() | number,
    st.none() | number,
)


def _tuples(elements: Any, least: int = 0) -> Any:
    return st.lists(elements, min_size=least, max_size=3).map(tuple)


actions = st.builds(SwarmAction, text, st.sampled_from(Action), st.sampled_from(PeerMode))
requests = st.one_of(
    st.builds(ConnectRequest, text, text, _tuples(actions, 1), peer_nums, _tuples(addresses)),
    st.builds(FindRequest, text, text, text, peer_nums),
    st.builds(StatReportRequest, text, text, _tuples(st.builds(StreamStats, text, number, number, number, number))),
)
results = st.builds(
    SwarmResult, text, st.sampled_from(ResponseType), st.none() | _tuples(st.builds(PeerInfo, text, addresses))
)
responses = st.one_of(
    st.builds(
        ResponseMessage, st.just(ResponseType.SUCCESSFUL), st.just(0), text, st.none() | addresses, _tuples(results)
    ),
    st.builds(ResponseMessage, st.just(ResponseType.FAILED), st.integers(1, 6), st.just("") | text),
)


@given(requests)
def test_a_request_comes_back_as_it_was_and_keeps_to_the_schema(message):
    """RFC 7846 section 3.3.3"""
    body = encode(message)
    parsed = parse_request(body)
    assert (parsed.message, parsed.forgiven) == (message, ())
    SCHEMA.validate(json.loads(body))


@given(responses)
def test_a_response_comes_back_as_it_was_and_keeps_to_the_schema(message):
    """RFC 7846 section 3.3.4"""
    body = encode(message)
    parsed = parse_response(body)
    assert (parsed.message, parsed.forgiven) == (message, ())
    SCHEMA.validate(json.loads(body))
    assert body.decode() == json.dumps(to_json(message), ensure_ascii=False, separators=(",", ":"))


def check_is_a_message_or_a_message_error(body: bytes) -> None:
    for parse in (parse_request, parse_response):
        refusal = None
        try:
            message = parse(body).message
        except MessageError as error:
            refusal = error
        if refusal is None:
            assert parse(encode(message)).message == message
        else:
            assert refusal.error_code in (ErrorCode.BAD_REQUEST, ErrorCode.UNSUPPORTED_VERSION_NUMBER)
            assert refusal.transaction_id.encode() is not None


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_a_message_error(body):
    check_is_a_message_or_a_message_error(body)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["JOIN", "1", 1, "1111"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["stat", "type", "port"]), inner),
    max_leaves=6,
)


@given(st.data())
def test_an_example_with_any_member_replaced_by_junk_is_a_message_or_a_message_error(data):
    name = data.draw(st.sampled_from(sorted(DEVIATIONS)))
    message = json.loads((EXAMPLES / f"{name}.strict.json").read_text())
    node: Any = message["PPSPTrackerProtocol"]
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(junk)
    check_is_a_message_or_a_message_error(json.dumps(message).encode())
