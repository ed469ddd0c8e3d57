"""PPSTP messages of others: what is forgiven, and what is not."""

import json
from typing import Any

import pytest
from ppstp_schema import EXAMPLES, address_of, body_of, connect_from, connect_root, refusal

from ppsp.tracker import (
    ErrorCode,
    MessageError,
    PeerNum,
    parse_request,
    parse_response,
)


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
    parsed = parse_request(connect_from(address_of(asn=None) | {"connection": None}))
    assert parsed.message.peer_addr[0].connection is None
    assert parsed.forgiven == ("connect.peer_addr[0].connection: null, taken as absent",)


def test_a_whole_number_may_be_written_with_a_fraction():
    parsed = parse_request(connect_from(address_of(port=80.0)))
    assert parsed.message.peer_addr[0].port == 80
    assert parsed.forgiven == ("connect.peer_addr[0].port: a fraction for a whole number",)


def test_an_address_type_may_be_written_in_any_case():
    parsed = parse_request(
        connect_from(address_of(ip_address={"address_type": "Ipv4", "address": "192.0.2.2"})),
    )
    assert parsed.message.peer_addr[0].address_type == "ipv4"
    assert parsed.forgiven == ("connect.peer_addr[0].ip_address.address_type: stands for ipv4",)


def test_an_ipv6_address_comes_out_in_the_form_of_rfc_5952():
    """RFC 7846 section 3.2.4, RFC 5952 section 4"""
    given = {"address_type": "ipv6", "address": "2001:DB8:0:0:0:0:0:2"}
    parsed = parse_request(connect_from(address_of(ip_address=given)))
    assert parsed.message.peer_addr[0].address == "2001:db8::2"
    assert parsed.forgiven == ("connect.peer_addr[0].ip_address.address: written 2001:db8::2 in its canonical form",)


def test_an_ipv4_mapped_address_is_an_ipv4_address():
    given = {"address_type": "ipv6", "address": "::ffff:192.0.2.7"}
    parsed = parse_request(connect_from(address_of(ip_address=given)))
    assert (parsed.message.peer_addr[0].address, parsed.message.peer_addr[0].address_type) == ("192.0.2.7", "ipv4")
    assert len(parsed.forgiven) == 2


def test_optional_members_that_make_no_sense_are_left_out():
    """A client in the wild sends "NORMAL" for concurrent_links and online_time."""
    connect = {
        "peer_num": {"peer_count": 5, "concurrent_links": "NORMAL", "online_time": "NORMAL", "ability_nat": "MAYBE"},
        "swarm_action": [{"swarm_id": "1111", "action": "JOIN", "peer_mode": "LEECH"}],
    }
    parsed = parse_request(body_of(connect_root(connect=connect)))
    assert parsed.message.peer_num == PeerNum(5)
    assert set(parsed.forgiven) == {
        f"connect.peer_num.{name}: not understood, left out"
        for name in ("ability_nat", "concurrent_links", "online_time")
    }


def test_a_number_does_for_an_autonomous_system():
    assert parse_request(connect_from(address_of(asn=64496))).message.peer_addr[0].asn == "64496"


def test_a_byte_order_mark_is_forgiven():
    body = b"\xef\xbb\xbf" + connect_from(address_of())
    assert parse_request(body).forgiven == ("a byte order mark before the text",)


def test_a_stat_report_without_statistics_is_a_sign_of_life():
    """RFC 7846 section 4.1.3"""
    root = connect_root(request_type="STAT_REPORT", connect=None)
    assert parse_request(body_of(root)) == parse_request(body_of(root | {"x": 1}))
    assert parse_request(body_of(root)).message.stat == ()
    assert parse_request(body_of(root)).forgiven == ()
    assert parse_request(body_of(root | {"stat_report": {"type": "STREAM_STATS", "stat": []}})).message.stat == ()


def test_statistics_of_a_type_from_an_extension_are_ignored():
    """RFC 7846 sections 3.2.5, 7.1"""
    root = connect_root(
        request_type="STAT_REPORT", connect=None, stat_report={"type": "PEER_MOOD", "stat": [{"mood": 1}]}
    )
    assert parse_request(body_of(root)).message.stat == ()


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
    assert parse_response(body_of(root)).message.error_code == ErrorCode.BAD_REQUEST


def test_an_unknown_error_code_keeps_its_number():
    root = {"version": 1, "response_type": 1, "error_code": 77, "transaction_id": "7"}
    assert parse_response(body_of(root)).message.error_code == 77


def test_what_stands_beside_an_error_is_ignored():
    """RFC 7846 section 4.3: an error has an empty message-body"""
    root = {"version": 1, "response_type": 1, "error_code": 3, "transaction_id": "7", "swarm_result": [{"junk": 1}]}
    parsed = parse_response(body_of(root))
    assert parsed.message.swarm_result == ()
    assert parsed.forgiven == ("swarm_result: part of an error, ignored",)


def test_success_with_an_error_code_is_refused():
    """RFC 7846 section 3.3.4: error_code MUST be 00 when response_type is 0"""
    with pytest.raises(MessageError):
        parse_response(body_of({"version": 1, "response_type": 0, "error_code": 3, "transaction_id": "7"}))


REFUSED = {
    "no transaction_id": body_of(connect_root(transaction_id=None)),
    "an empty transaction_id": body_of(connect_root(transaction_id="")),
    "a number for transaction_id": body_of(connect_root(transaction_id=12345)),
    "a transaction_id that never ends": body_of(connect_root(transaction_id="x" * 257)),
    "half a surrogate pair in transaction_id": body_of(connect_root(transaction_id="\ud800")),
    "no peer_id": body_of(connect_root(peer_id=None)),
    "an empty peer_id": body_of(connect_root(peer_id="")),
    "no request_type": body_of(connect_root(request_type=None)),
    "an unknown request_type": body_of(connect_root(request_type="JOIN")),
    "request_type in lower case": body_of(connect_root(request_type="connect")),
    "request_type as a list": body_of(connect_root(request_type=["CONNECT"])),
    "no version": body_of(connect_root(version=None)),
    "a version that is no number": body_of(connect_root(version="one")),
    "true as version": body_of(connect_root(version=True)),
    "no connect": body_of(connect_root(connect=None)),
    "connect as text": body_of(connect_root(connect="JOIN 1111")),
    "no swarm_action": body_of(connect_root(connect={})),
    "an empty swarm_action": body_of(connect_root(connect={"swarm_action": []})),
    "a swarm_action of text": body_of(connect_root(connect={"swarm_action": ["JOIN"]})),
    "an unknown action": body_of(
        connect_root(connect={"swarm_action": [{"swarm_id": "1", "action": "STAY", "peer_mode": "LEECH"}]})
    ),
    "an unknown peer_mode": body_of(
        connect_root(connect={"swarm_action": [{"swarm_id": "1", "action": "JOIN", "peer_mode": "LURKER"}]})
    ),
    "an empty swarm_id": body_of(
        connect_root(connect={"swarm_action": [{"swarm_id": "", "action": "JOIN", "peer_mode": "LEECH"}]})
    ),
    "a find of a request of type CONNECT": body_of(connect_root(connect=None, find={"swarm_id": "1111"})),
    "a connect under the name of find": body_of(
        {("find" if name == "connect" else name): member for name, member in connect_root().items()}
    ),
    "port 0": connect_from(address_of(port=0)),
    "port 65536": connect_from(address_of(port=65536)),
    "half a port": connect_from(address_of(port=80.5)),
    "no port": connect_from(address_of(port=None)),
    "no priority": connect_from(address_of(priority=None)),
    "a type that is none": connect_from(address_of(type="GUESS")),
    "a host name for an address": connect_from(
        address_of(ip_address={"address_type": "ipv4", "address": "peer.example"})
    ),
    "an address with leading zeros": connect_from(
        address_of(ip_address={"address_type": "ipv4", "address": "192.0.02.2"})
    ),
    "an address with a zone": connect_from(address_of(ip_address={"address_type": "ipv6", "address": "fe80::1%eth0"})),
    "an address of the other type": connect_from(
        address_of(ip_address={"address_type": "ipv6", "address": "192.0.2.2"})
    ),
    "a find without swarm_id": body_of(connect_root(request_type="FIND", connect=None, find={})),
    "a find with an impossible count": body_of(
        connect_root(request_type="FIND", connect=None, find={"swarm_id": "1", "peer_num": {"peer_count": -1}})
    ),
    "statistics without numbers": body_of(
        connect_root(
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
    "UTF-16": json.dumps({"PPSPTrackerProtocol": connect_root()}).encode("utf-16"),
    "octets that are no UTF-8": b'{"PPSPTrackerProtocol": "\xff"}',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_schema_does_not_allow_is_a_bad_request(body):
    """RFC 7846 section 4.3: an incorrectly formed message MUST be answered with 01"""
    assert refusal(body).error_code is ErrorCode.BAD_REQUEST


BOMBS = {
    "deep arrays": b"[" * 50_000,
    "deep arrays inside": b'{"PPSPTrackerProtocol":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a huge integer": body_of(connect_root(version=None))[:-2] + b', "version": ' + b"9" * 60_000 + b"}}",
    "an integer that fits nothing": connect_from(address_of(priority=10**400)),
    "NaN": connect_from(address_of()).replace(b'"priority": 1', b'"priority": NaN'),
    "Infinity": connect_from(address_of()).replace(b'"priority": 1', b'"priority": -Infinity'),
    "1e999": connect_from(address_of()).replace(b'"priority": 1', b'"priority": 1e999'),
    "1e999 in an unknown member": connect_from(address_of()).replace(b'"priority": 1', b'"x": 1e999, "priority": 1'),
    "a member twice": connect_from(address_of()).replace(b'"port": 80', b'"port": 80, "port": 81'),
    "a member twice in an unknown one": body_of(connect_root())[:-2] + b', "x": {"a": 1, "a": 2}}}',
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_a_json_bomb_is_a_bad_request(body):
    assert refusal(body).error_code is ErrorCode.BAD_REQUEST


def test_another_version_is_named_as_the_reason_whatever_else_is_in_the_message():
    """RFC 7846 section 4.3: an unsupported version MUST be answered with 02"""
    error = refusal(body_of({"version": 2, "transaction_id": "77", "request_type": "NEW"}))
    assert (error.error_code, error.transaction_id) == (ErrorCode.UNSUPPORTED_VERSION_NUMBER, "77")
    assert refusal(body_of({"version": 0})).error_code is ErrorCode.UNSUPPORTED_VERSION_NUMBER


def test_the_transaction_id_of_a_malformed_message_is_saved_for_the_answer():
    assert refusal(body_of(connect_root(transaction_id="abc", connect=None))).transaction_id == "abc"
    assert refusal(body_of(connect_root(transaction_id="x" * 5000))).transaction_id == ""
    assert refusal(body_of(connect_root(transaction_id="a\ud800"))).transaction_id == "a"
