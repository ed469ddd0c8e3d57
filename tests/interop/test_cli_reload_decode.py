"""`ietf-p2p reload decode`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from reload_pcap import write_pcap

from interop.__main__ import main
from reload._presentation import encode
from reload.contents import ErrorResponse, MessageCode, MessageContents, MessageExtension, UnknownKinds
from reload.destinations import NodeDestination
from reload.extensions import (
    DiagnosticInfo,
    DiagnosticsResponse,
    PathTrackAns,
    SelfTuningData,
    SipRegistration,
    SipRegistrationUri,
)
from reload.forwarding import fragment
from reload.framing import AckFrame, DataFrame, encode_frame
from reload.header import ForwardingHeader
from reload.message import Message, encode_message
from reload.methods import PingReq, ProbeReq
from reload.security_block import SecurityBlock, Signature, SignatureAndHashAlgorithm, SignerIdentity
from reload.storage_messages import (
    DataValue,
    DictionaryEntry,
    FetchKindResponse,
    MetaData,
    StatAns,
    StoredDictionaryEntry,
    StoredMetaSingle,
    StoreKindData,
    StoreReq,
)

LINES = (Path(__file__).parents[1] / "data" / "reload_messages.txt").read_text().splitlines()
HAND_MADE: dict[str, str] = dict(line.split() for line in LINES if line[0] != "#")
ME = b"\x11" * 16
SIGNATURE = Signature(
    algorithm=SignatureAndHashAlgorithm(hash=4, signature=3),
    identity=SignerIdentity(identity_type=3, identity=None),
    signature_value=b"signed",
)


def message(code: int, body: Any, extensions: tuple[MessageExtension, ...] = (), n: int = 16) -> bytes:
    contents = MessageContents(message_code=code, message_body=encode(body, node_id_length=n), extensions=extensions)
    header = ForwardingHeader(1, 2, (NodeDestination(b"\x11" * n),))
    return encode_message(
        Message(header, contents, SecurityBlock(certificates=(), signature=SIGNATURE)), node_id_length=n
    )


def decoded(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["reload", "decode", *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def body_of(capsys: pytest.CaptureFixture[str], octets: bytes) -> Any:
    return json.loads(decoded(capsys, octets.hex(), "--json"))["message"]["message_contents"]["message_body"]


def test_a_message_is_a_tree_with_the_names_of_the_rfc(capsys: pytest.CaptureFixture[str]) -> None:
    out = decoded(capsys, HAND_MADE["attach_ans"]).splitlines()
    for line in (
        "message",
        "  forwarding_header",
        "    overlay: 0x9aa32b8d",
        "    transaction_id: 0x0102030405060708",
        "      destination: node f937c37e949d9efa20d2958af309235c",
        "    message_code: attach_ans (4)",
        '      ufrag: "ufrg"',
        "          addr_port: [2001:db8::1]:6084",
        "          type: srflx (2)",
        "          rel_addr_port: 10.0.0.1:6084",
        "        hash: sha256 (4)",
    ):
        assert line in out


@pytest.mark.parametrize("name", HAND_MADE)
def test_every_message_built_by_hand_is_shown_as_text_and_as_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decoded(capsys, HAND_MADE[name]).startswith("message\n")
    found = json.loads(decoded(capsys, HAND_MADE[name], "--json"))["message"]
    assert set(found) == {"forwarding_header", "message_contents", "security_block"}
    assert found["forwarding_header"]["length"] == len(HAND_MADE[name]) // 2


def test_stored_values_of_registered_kinds_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    out = decoded(capsys, HAND_MADE["store_redir_rfc"])
    assert "kind: 0x104 REDIR" in out
    assert "storage_time: 1700000000123 (2023-11-14 22:13:20 UTC)" in out
    assert 'namespace: "turn-server"' in out
    entry = DictionaryEntry(
        key=ME,
        value=DataValue(exists=True, value=encode(SipRegistration(type=1, data=SipRegistrationUri(uri=b"sam@x")))),
    )
    stored = StoredDictionaryEntry(storage_time=1, lifetime=2, value=entry, signature=SIGNATURE)
    values = tuple(StoreKindData(kind=kind, generation_counter=0, values=(encode(stored),)) for kind in (1, 0xF0000001))
    known, unknown = body_of(
        capsys, message(MessageCode.STORE_REQ, StoreReq(resource=ME, replica_number=0, kind_data=values))
    )["kind_data"]
    assert known["values"][0]["value"]["value"]["value"] == {"type": 1, "data": {"uri": b"sam@x".hex()}}
    assert unknown["values"] == [encode(stored).hex()]


def test_metadata_and_specifiers_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    meta = StoredMetaSingle(
        storage_time=1, lifetime=2, metadata=MetaData(exists=True, value_length=9, hash_algorithm=4, hash_value=b"h")
    )
    answer = StatAns(kind_responses=(FetchKindResponse(kind=2, generation=1, values=(encode(meta),)),))
    body = body_of(capsys, message(MessageCode.STAT_ANS, answer))
    assert body["kind_responses"][0]["values"][0]["metadata"]["value_length"] == 9
    (specifier,) = json.loads(decoded(capsys, HAND_MADE["fetch_dict"], "--json"))["message"]["message_contents"][
        "message_body"
    ]["specifiers"]
    assert len(specifier["model_specifier"]["keys"]) == 2


def test_information_of_errors_and_diagnostics_and_extensions_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    error = ErrorResponse(error_code=12, error_info=encode(UnknownKinds(unknown_kinds=(5, 6))))
    assert body_of(capsys, message(MessageCode.ERROR, error))["error_info"] == {"unknown_kinds": [5, 6]}
    response = DiagnosticsResponse(
        expiration=1,
        timestamp_initiated=2,
        timestamp_received=3,
        hop_counter=4,
        diagnostic_info_list=(DiagnosticInfo(kind=6, diagnostic_info_contents=b"v1\0"),),
    )
    answer = PathTrackAns(next_hop=NodeDestination(ME), response=response)
    (info,) = body_of(capsys, message(MessageCode.PATH_TRACK_ANS, answer))["response"]["diagnostic_info_list"]
    assert info["diagnostic_info_contents"] == "v1"
    sizes = MessageExtension(
        type=3, critical=False, extension_contents=encode(SelfTuningData(network_size=7, join_rate=8, leave_rate=9))
    )
    out = decoded(capsys, message(MessageCode.PROBE_REQ, ProbeReq(requested_info=(3,)), (sizes,)).hex())
    assert "network_size: 7" in out
    assert "requested_info: uptime (3)" in out


def test_what_does_not_decode_inside_is_said_and_its_octets_stay(capsys: pytest.CaptureFixture[str]) -> None:
    out = decoded(capsys, HAND_MADE["pathtrack_ans_single"])
    assert "(malformed: DiagnosticsResponse.diagnostic_info_list" in out
    shown = json.loads(decoded(capsys, HAND_MADE["pathtrack_ans_single"], "--json"))
    assert shown["message"]["message_contents"]["message_body"]["octets"].startswith("01102dbf")


def test_frames_are_shown_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    ping = message(MessageCode.PING_REQ, PingReq(padding=b""))
    stream = encode_frame(DataFrame(5, ping)) + encode_frame(AckFrame(4, 3))
    out = decoded(capsys, stream.hex())
    assert "  sequence: 5\n" in out
    assert out.endswith("ack\n  ack_sequence: 4\n  received: 0x00000003\n")
    first, second = map(json.loads, decoded(capsys, stream.hex(), "--json").splitlines())
    assert first["data"]["message"]["message_contents"]["message_code"] == 23
    assert second == {"ack": {"ack_sequence": 4, "received": 3}}


def test_a_fragment_shows_its_header_and_the_octets_of_its_payload(capsys: pytest.CaptureFixture[str]) -> None:
    part, *_ = fragment(message(MessageCode.PING_REQ, PingReq(padding=bytes(2000))), 600)
    out = decoded(capsys, part.hex())
    assert out.startswith("fragment\n")
    assert "  payload: 0017" in out


def test_files_have_octets_or_hex_or_packets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    octets = bytes.fromhex(HAND_MADE["join_req"])
    for name, content in (("octets", octets), ("hex", HAND_MADE["join_req"].encode() + b"\n")):
        (tmp_path / name).write_bytes(content)
        assert "message_code: join_req (15)" in decoded(capsys, str(tmp_path / name))
    capture = tmp_path / "capture.pcap"
    write_pcap(capture, [b"STUN?", octets, encode_frame(AckFrame(1, 0))])
    out = decoded(capsys, str(capture))
    assert out.startswith("packet 2\nmessage\n")
    assert "packet 3\nack\n" in out
    last = decoded(capsys, str(capture), "--json").splitlines()[-1]
    assert json.loads(last) == {"packet": 3, "ack": {"ack_sequence": 1, "received": 0}}


def test_a_malformed_payload_of_a_capture_is_named_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pcap(tmp_path / "x.pcap", [b"\xd2ELO" + bytes(50), encode_frame(AckFrame(1, 0))])
    assert main(["reload", "decode", str(tmp_path / "x.pcap")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("packet 2\n")
    assert err == "packet 1: ForwardingHeader.version: 0 is not 10\n"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(encode_frame(AckFrame(1, 0)))))
    assert decoded(capsys, "-").startswith("ack\n")


def test_node_ids_may_be_longer(capsys: pytest.CaptureFixture[str]) -> None:
    octets = message(MessageCode.PING_REQ, PingReq(padding=b""), n=20)
    assert "destination: node " + "11" * 20 in decoded(capsys, octets.hex(), "--node-id-length", "20")
    assert main(["reload", "decode", octets.hex()]) == 2
    assert "a Node-ID of 20 octets at 2, 16 are due" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["no-such-file"], "'no-such-file' is neither a file nor hex"),
        ([""], "the octets: neither a message (d2454c4f...) nor a frame (80..., 81...) starts with nothing"),
        (["0102"], "nor a frame (80..., 81...) starts with 0102"),
        (["80000000"], "the octets: FramedMessage: the octets end within the frame at 0"),
        (["d2454c4f00"], "the octets: ForwardingHeader: need 38 octets at 0, have 5"),
        (["/"], "/: Is a directory"),
        (["00", "--node-id-length", "21"], "21 is not in the range"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reload", "decode", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ietf-p2p: ")
    assert why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[:20], "no pcap file"),
        (lambda data: data[:30], "the file ends within packet 1"),
        (lambda data: data[:-1], "the file ends within packet 1"),
        (lambda data: data[:20] + b"\x93\0\0\0" + data[24:], "packets of link type 147, which is not read"),
        (lambda data: data[:24], "no UDP payload in it is a message or a frame of RELOAD"),
    ],
)
def test_a_capture_that_cannot_be_read_says_why(
    damage: Any, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pcap(tmp_path / "x.pcap", [b"nothing"])
    (tmp_path / "x.pcap").write_bytes(damage((tmp_path / "x.pcap").read_bytes()))
    assert main(["reload", "decode", str(tmp_path / "x.pcap")]) == 2
    assert why in capsys.readouterr().err


def test_help_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reload"]) == 0
    assert "decode" in capsys.readouterr().out
    assert main(["reload", "decode", "--help"]) == 0
    assert "Examples:" in capsys.readouterr().out
