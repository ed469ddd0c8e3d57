"""PPSTP messages: strict out, liberal in."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

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

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"

# RFC 7846 section 3 by hand, as a JSON Schema. `peer_info` may be empty: a FIND in an empty swarm MUST have a group.
STRING = {"type": "string", "minLength": 1}
INTEGER = {"type": "integer"}


def _object(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


PEER_NUM = _object(
    "peer_count",
    {
        "peer_count": INTEGER,
        "ability_nat": {"enum": ["NO_NAT", "STUN", "TURN"]},
        "concurrent_links": INTEGER,
        "online_time": INTEGER,
        "upload_bandwidth": INTEGER,
    },
)
PEER_ADDR = _object(
    "ip_address port priority type",
    {
        "ip_address": _object("address_type address", {"address_type": {"enum": ["ipv4", "ipv6"]}, "address": STRING}),
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "priority": INTEGER,
        "type": {"enum": ["HOST", "REFLEXIVE", "PROXY"]},
        "connection": {"enum": ["wireless", "wired"]},
        "asn": STRING,
        "peer_protocol": STRING,
    },
)
SWARM_ACTION = _object(
    "swarm_id action peer_mode",
    {"swarm_id": STRING, "action": {"enum": ["JOIN", "LEAVE"]}, "peer_mode": {"enum": ["SEEDER", "LEECH"]}},
)
STREAM_STATS = _object(
    "swarm_id uploaded_bytes downloaded_bytes available_bandwidth concurrent_links",
    {
        "swarm_id": STRING,
        "uploaded_bytes": INTEGER,
        "downloaded_bytes": INTEGER,
        "available_bandwidth": INTEGER,
        "concurrent_links": INTEGER,
    },
)
_COMMON = {"version": {"const": 1}, "transaction_id": STRING, "peer_id": STRING}


def _request(kind: str, required: str, **data: Any) -> dict[str, Any]:
    return _object(
        f"version request_type transaction_id peer_id {required}", {**_COMMON, "request_type": {"const": kind}, **data}
    )


CONNECT = _object(
    "swarm_action",
    {
        "peer_num": PEER_NUM,
        "peer_addr": {"type": "array", "minItems": 1, "items": PEER_ADDR},
        "swarm_action": {"type": "array", "minItems": 1, "items": SWARM_ACTION},
    },
)
STAT_GROUP = _object(
    "type stat",
    {"type": {"const": "STREAM_STATS"}, "stat": {"type": "array", "minItems": 1, "items": STREAM_STATS}},
)
SWARM_RESULT = _object(
    "swarm_id result",
    {
        "swarm_id": STRING,
        "result": {"enum": [0, 1]},
        "peer_group": _object(
            "peer_info",
            {
                "peer_info": {
                    "type": "array",
                    "items": _object("peer_id peer_addr", {"peer_id": STRING, "peer_addr": PEER_ADDR}),
                }
            },
        ),
    },
)
RESPONSE = _object(
    "version response_type error_code transaction_id",
    {
        "version": {"const": 1},
        "response_type": {"enum": [0, 1]},
        "error_code": {"type": "integer", "minimum": 0, "maximum": 6},
        "transaction_id": {"type": "string"},
        "peer_addr": PEER_ADDR,
        "swarm_result": {"type": "array", "minItems": 1, "items": SWARM_RESULT},
    },
)
SCHEMA = Draft202012Validator(
    _object(
        "PPSPTrackerProtocol",
        {
            "PPSPTrackerProtocol": {
                "oneOf": [
                    _request("CONNECT", "connect", connect=CONNECT),
                    _request("FIND", "find", find=_object("swarm_id", {"swarm_id": STRING, "peer_num": PEER_NUM})),
                    _request("STAT_REPORT", "", stat_report=STAT_GROUP),
                    RESPONSE,
                ]
            }
        },
    )
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


# -- what is forgiven, and what is not --------------------------------------------------------------------------------


def _connect(**changes: Any) -> dict[str, Any]:
    """A well-formed CONNECT, with members of the request element replaced, or removed where None."""
    root = json.loads((EXAMPLES / "connect_req_leech.strict.json").read_text())["PPSPTrackerProtocol"]
    root.update(changes)
    return {key: value for key, value in root.items() if value is not None}


def _body(root: Any) -> bytes:
    return json.dumps({"PPSPTrackerProtocol": root}).encode()


def _address(**changes: Any) -> dict[str, Any]:
    address = {
        "ip_address": {"address_type": "ipv4", "address": "192.0.2.2"},
        "port": 80,
        "priority": 1,
        "type": "HOST",
        **changes,
    }
    return {key: value for key, value in address.items() if value is not None}


def _connect_from(*addresses: Any) -> bytes:
    action = {"swarm_id": "1111", "action": "JOIN", "peer_mode": "LEECH"}
    return _body(_connect(connect={"swarm_action": [action], "peer_addr": list(addresses)}))


def _refusal(body: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parse_request(body)
    return caught.value


def test_unknown_members_are_ignored_at_every_level():
    """RFC 7846 section 4.4: implementations MUST ignore unknown members"""
    message = json.loads((EXAMPLES / "connect_req_leech.strict.json").read_text())

    def spread(value: Any) -> Any:
        if isinstance(value, dict):
            return {"x-unknown": [1, {"deep": None}], **{key: spread(member) for key, member in value.items()}}
        return [spread(element) for element in value] if isinstance(value, list) else value

    expected = parse_request(json.dumps(message).encode())
    assert parse_request(json.dumps(spread(message)).encode()) == expected


def test_null_counts_as_absent():
    parsed = parse_request(_connect_from(_address(asn=None) | {"connection": None}))
    assert parsed.message.peer_addr[0].connection is None
    assert parsed.forgiven == ("connect.peer_addr[0].connection: null, taken as absent",)


def test_a_whole_number_may_be_written_with_a_fraction():
    parsed = parse_request(_connect_from(_address(port=80.0)))
    assert parsed.message.peer_addr[0].port == 80
    assert parsed.forgiven == ("connect.peer_addr[0].port: a fraction for a whole number",)


def test_an_address_type_may_be_written_in_any_case():
    parsed = parse_request(
        _connect_from(_address(ip_address={"address_type": "Ipv4", "address": "192.0.2.2"})),
    )
    assert parsed.message.peer_addr[0].address_type == "ipv4"
    assert parsed.forgiven == ("connect.peer_addr[0].ip_address.address_type: stands for ipv4",)


def test_an_ipv6_address_comes_out_in_the_form_of_rfc_5952():
    """RFC 7846 section 3.2.4, RFC 5952 section 4"""
    given = {"address_type": "ipv6", "address": "2001:DB8:0:0:0:0:0:2"}
    parsed = parse_request(_connect_from(_address(ip_address=given)))
    assert parsed.message.peer_addr[0].address == "2001:db8::2"
    assert parsed.forgiven == ("connect.peer_addr[0].ip_address.address: written 2001:db8::2 in its canonical form",)


def test_an_ipv4_mapped_address_is_an_ipv4_address():
    given = {"address_type": "ipv6", "address": "::ffff:192.0.2.7"}
    parsed = parse_request(_connect_from(_address(ip_address=given)))
    assert (parsed.message.peer_addr[0].address, parsed.message.peer_addr[0].address_type) == ("192.0.2.7", "ipv4")
    assert len(parsed.forgiven) == 2


def test_optional_members_that_make_no_sense_are_left_out():
    """A client in the wild sends "NORMAL" for concurrent_links and online_time."""
    connect = {
        "peer_num": {"peer_count": 5, "concurrent_links": "NORMAL", "online_time": "NORMAL", "ability_nat": "MAYBE"},
        "swarm_action": [{"swarm_id": "1111", "action": "JOIN", "peer_mode": "LEECH"}],
    }
    parsed = parse_request(_body(_connect(connect=connect)))
    assert parsed.message.peer_num == PeerNum(5)
    assert set(parsed.forgiven) == {
        f"connect.peer_num.{name}: not understood, left out"
        for name in ("ability_nat", "concurrent_links", "online_time")
    }


def test_a_number_does_for_an_autonomous_system():
    assert parse_request(_connect_from(_address(asn=64496))).message.peer_addr[0].asn == "64496"


def test_a_byte_order_mark_is_forgiven():
    body = b"\xef\xbb\xbf" + _connect_from(_address())
    assert parse_request(body).forgiven == ("a byte order mark before the text",)


def test_a_stat_report_without_statistics_is_a_sign_of_life():
    """RFC 7846 section 4.1.3"""
    root = _connect(request_type="STAT_REPORT", connect=None)
    assert parse_request(_body(root)) == parse_request(_body(root | {"x": 1}))
    assert parse_request(_body(root)).message.stat == ()
    assert parse_request(_body(root)).forgiven == ()
    assert parse_request(_body(root | {"stat_report": {"type": "STREAM_STATS", "stat": []}})).message.stat == ()


def test_statistics_of_a_type_from_an_extension_are_ignored():
    """RFC 7846 sections 3.2.5, 7.1"""
    root = _connect(request_type="STAT_REPORT", connect=None, stat_report={"type": "PEER_MOOD", "stat": [{"mood": 1}]})
    assert parse_request(_body(root)).message.stat == ()


def test_an_entry_that_cannot_be_read_does_not_spoil_a_peer_list():
    response = json.loads((EXAMPLES / "find_resp.strict.json").read_text())
    peers = response["PPSPTrackerProtocol"]["swarm_result"][0]["peer_group"]["peer_info"]
    peers[1]["peer_addr"]["ip_address"]["address"] = "tracker.example.com"
    parsed = parse_response(json.dumps(response).encode())
    assert [peer.peer_id for peer in parsed.message.swarm_result[0].peer_group] == ["656164657221", "3332001256741"]
    assert parsed.forgiven == ("swarm_result[0].peer_group.peer_info[1]: not understood, left out",)


def test_an_error_code_of_iana_s_spelling_is_understood():
    """RFC 7846 section 8.4 calls the codes strings: "01" """
    root = {"version": 1, "response_type": 1, "error_code": "01", "transaction_id": "7"}
    assert parse_response(_body(root)).message.error_code == ErrorCode.BAD_REQUEST


def test_an_unknown_error_code_keeps_its_number():
    root = {"version": 1, "response_type": 1, "error_code": 77, "transaction_id": "7"}
    assert parse_response(_body(root)).message.error_code == 77


def test_what_stands_beside_an_error_is_ignored():
    """RFC 7846 section 4.3: an error has an empty message-body"""
    root = {"version": 1, "response_type": 1, "error_code": 3, "transaction_id": "7", "swarm_result": [{"junk": 1}]}
    parsed = parse_response(_body(root))
    assert parsed.message.swarm_result == ()
    assert parsed.forgiven == ("swarm_result: part of an error, ignored",)


def test_success_with_an_error_code_is_refused():
    """RFC 7846 section 3.3.4: error_code MUST be 00 when response_type is 0"""
    with pytest.raises(MessageError):
        parse_response(_body({"version": 1, "response_type": 0, "error_code": 3, "transaction_id": "7"}))


REFUSED = {
    "no transaction_id": _body(_connect(transaction_id=None)),
    "an empty transaction_id": _body(_connect(transaction_id="")),
    "a number for transaction_id": _body(_connect(transaction_id=12345)),
    "a transaction_id that never ends": _body(_connect(transaction_id="x" * 257)),
    "half a surrogate pair in transaction_id": _body(_connect(transaction_id="\ud800")),
    "no peer_id": _body(_connect(peer_id=None)),
    "an empty peer_id": _body(_connect(peer_id="")),
    "no request_type": _body(_connect(request_type=None)),
    "an unknown request_type": _body(_connect(request_type="JOIN")),
    "request_type in lower case": _body(_connect(request_type="connect")),
    "request_type as a list": _body(_connect(request_type=["CONNECT"])),
    "no version": _body(_connect(version=None)),
    "a version that is no number": _body(_connect(version="one")),
    "true as version": _body(_connect(version=True)),
    "no connect": _body(_connect(connect=None)),
    "connect as text": _body(_connect(connect="JOIN 1111")),
    "no swarm_action": _body(_connect(connect={})),
    "an empty swarm_action": _body(_connect(connect={"swarm_action": []})),
    "a swarm_action of text": _body(_connect(connect={"swarm_action": ["JOIN"]})),
    "an unknown action": _body(
        _connect(connect={"swarm_action": [{"swarm_id": "1", "action": "STAY", "peer_mode": "LEECH"}]})
    ),
    "an unknown peer_mode": _body(
        _connect(connect={"swarm_action": [{"swarm_id": "1", "action": "JOIN", "peer_mode": "LURKER"}]})
    ),
    "an empty swarm_id": _body(
        _connect(connect={"swarm_action": [{"swarm_id": "", "action": "JOIN", "peer_mode": "LEECH"}]})
    ),
    "a find of a request of type CONNECT": _body(_connect(connect=None, find={"swarm_id": "1111"})),
    "a connect under the name of find": _body(
        {("find" if name == "connect" else name): member for name, member in _connect().items()}
    ),
    "port 0": _connect_from(_address(port=0)),
    "port 65536": _connect_from(_address(port=65536)),
    "half a port": _connect_from(_address(port=80.5)),
    "no port": _connect_from(_address(port=None)),
    "no priority": _connect_from(_address(priority=None)),
    "a type that is none": _connect_from(_address(type="GUESS")),
    "a host name for an address": _connect_from(
        _address(ip_address={"address_type": "ipv4", "address": "peer.example"})
    ),
    "an address with leading zeros": _connect_from(
        _address(ip_address={"address_type": "ipv4", "address": "192.0.02.2"})
    ),
    "an address with a zone": _connect_from(_address(ip_address={"address_type": "ipv6", "address": "fe80::1%eth0"})),
    "an address of the other type": _connect_from(
        _address(ip_address={"address_type": "ipv6", "address": "192.0.2.2"})
    ),
    "a find without swarm_id": _body(_connect(request_type="FIND", connect=None, find={})),
    "a find with an impossible count": _body(
        _connect(request_type="FIND", connect=None, find={"swarm_id": "1", "peer_num": {"peer_count": -1}})
    ),
    "statistics without numbers": _body(
        _connect(
            request_type="STAT_REPORT",
            connect=None,
            stat_report={"type": "STREAM_STATS", "stat": [{"swarm_id": "1"}]},
        )
    ),
    "no PPSPTrackerProtocol": b'{"PPSPTracker": {}}',
    "PPSPTrackerProtocol as text": b'{"PPSPTrackerProtocol": "hello"}',
    "a list": b"[]",
    "a number": b"1",
    "nothing": b"",
    "two texts": b"{}{}",
    "UTF-16": json.dumps({"PPSPTrackerProtocol": _connect()}).encode("utf-16"),
    "octets that are no UTF-8": b'{"PPSPTrackerProtocol": "\xff"}',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_schema_does_not_allow_is_a_bad_request(body):
    """RFC 7846 section 4.3: an incorrectly formed message MUST be answered with 01"""
    assert _refusal(body).error_code is ErrorCode.BAD_REQUEST


BOMBS = {
    "deep arrays": b"[" * 50_000,
    "deep arrays inside": b'{"PPSPTrackerProtocol":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a huge integer": _body(_connect(version=None))[:-2] + b', "version": ' + b"9" * 60_000 + b"}}",
    "an integer that fits nothing": _connect_from(_address(priority=10**400)),
    "NaN": _connect_from(_address()).replace(b'"priority": 1', b'"priority": NaN'),
    "Infinity": _connect_from(_address()).replace(b'"priority": 1', b'"priority": -Infinity'),
    "1e999": _connect_from(_address()).replace(b'"priority": 1', b'"priority": 1e999'),
    "1e999 in an unknown member": _connect_from(_address()).replace(b'"priority": 1', b'"x": 1e999, "priority": 1'),
    "a member twice": _connect_from(_address()).replace(b'"port": 80', b'"port": 80, "port": 81'),
    "a member twice in an unknown one": _body(_connect())[:-2] + b', "x": {"a": 1, "a": 2}}}',
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_a_json_bomb_is_a_bad_request(body):
    assert _refusal(body).error_code is ErrorCode.BAD_REQUEST


def test_another_version_is_named_as_the_reason_whatever_else_is_in_the_message():
    """RFC 7846 section 4.3: an unsupported version MUST be answered with 02"""
    error = _refusal(_body({"version": 2, "transaction_id": "77", "request_type": "NEW"}))
    assert (error.error_code, error.transaction_id) == (ErrorCode.UNSUPPORTED_VERSION_NUMBER, "77")
    assert _refusal(_body({"version": 0})).error_code is ErrorCode.UNSUPPORTED_VERSION_NUMBER


def test_the_transaction_id_of_a_malformed_message_is_saved_for_the_answer():
    assert _refusal(_body(_connect(transaction_id="abc", connect=None))).transaction_id == "abc"
    assert _refusal(_body(_connect(transaction_id="x" * 5000))).transaction_id == ""
    assert _refusal(_body(_connect(transaction_id="a\ud800"))).transaction_id == "a"


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
