"""Wireshark's dissector reads every message that we can make as we meant it, field by field.

Fields where the dissector of tshark 4.0 is wrong are left out, each with the reason beside it (shared requirements,
section 4.2). It is lenient: that it shows no error means nothing, so values are compared.
"""

import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
from reload_bodies import ME, PLAIN, SIGNATURE, SIGNED, STORAGE, V4, WHEN, A, B, C, Expected, ids, message
from reload_pcap import write_pcap
from reload_tshark import COMMON, disagreements, dissected

from reload import extensions, methods
from reload._presentation import encode
from reload.contents import MessageCode, MessageExtension
from reload.destinations import Destination, NodeDestination, OpaqueDestination, ResourceDestination
from reload.forwarding import forward, fragment
from reload.framing import AckFrame, DataFrame, ReceivedMask, encode_frame
from reload.header import ForwardingOption, decode_header
from reload.security_block import (
    CertificateHash,
    GenericCertificate,
    SignerIdentity,
)


def assert_read(path: Path, messages: list[tuple[bytes, int, Expected]]) -> None:
    fields = sorted(
        {*COMMON, "reload.message.code", "reload_framing.sequence"} | {f for _, _, e in messages for f in e}
    )
    frames = [encode_frame(DataFrame(number, octets)) for number, (octets, _, _) in enumerate(messages)]
    found = dissected(path, frames, fields)
    for number, (values, (octets, code, expected)) in enumerate(zip(found, messages, strict=True)):
        wanted = expected | {"reload_framing.sequence": [str(number)]}
        assert disagreements(values, octets, code, wanted) == {}, f"message {number}, code {code}"


def test_every_body_is_read_as_it_was_meant(tmp_path: Path) -> None:
    cases = [*PLAIN, *STORAGE]
    assert {code for code, _, _ in cases} == set(MessageCode) - {
        # Codes of RFC 7851, which the dissector has at 101 and 102; and those of experiments, which have no body.
        MessageCode.PATH_TRACK_REQ,
        MessageCode.PATH_TRACK_ANS,
        MessageCode.EXP_A_REQ,
        MessageCode.EXP_A_ANS,
        MessageCode.EXP_B_REQ,
        MessageCode.EXP_B_ANS,
    }
    signed: Expected = {"reload.signature.identity.type": ["1"]}
    assert_read(
        tmp_path / "bodies.pcap",
        [
            (message(code, body, number), code, (signed if (code, body) in PLAIN_ONLY else {}) | expected)
            for number, (code, body, expected) in enumerate(cases)
        ],
    )


PLAIN_ONLY = [(code, body) for code, body, _ in PLAIN]
"""Bodies without signatures of their own."""


def test_codes_of_rfc_7851_are_read_as_unknown_messages(tmp_path: Path) -> None:
    request = extensions.PathTrackReq(
        destination=NodeDestination(A),
        request=extensions.DiagnosticsRequest(expiration=WHEN, timestamp_initiated=WHEN, dmflags=2),
    )
    answer = extensions.PathTrackAns(
        next_hop=NodeDestination(B),
        response=extensions.DiagnosticsResponse(
            expiration=WHEN, timestamp_initiated=WHEN, timestamp_received=WHEN, hop_counter=99
        ),
    )
    assert_read(
        tmp_path / "path-track.pcap",
        [
            # Lengths of the message, of its body and of its extensions.
            (message(39, request, 1), 39, {"reload.length.32": [str(len(message(39, request, 1))), "50", "0"]}),
            (message(40, answer, 1), 40, {"reload.length.32": [str(len(message(40, answer, 1))), "51", "0"]}),
        ],
    )


OPAQUE: Destination = OpaqueDestination(b"opaque")
COMPACT: Destination = OpaqueDestination(b"\x8a\xbc", is_compact=True)
RPR = extensions.ExtensiveRoutingModeOption(
    routemode=extensions.RouteMode.RPR,
    transport=4,
    ipaddressport=V4,
    destinations=(NodeDestination(A), NodeDestination(ME)),
)
HEADERS: list[tuple[dict[str, Any], Expected]] = [
    (
        {
            "via_list": (NodeDestination(A), NodeDestination(B)),
            "destination_list": (NodeDestination(C), ResourceDestination(ME)),
        },
        {
            "reload.destination.data.nodeid": ids(A, B, C),
            "reload.forwarding.via_list.length": ["36"],
            "reload.forwarding.destination_list.length": ["37"],
            "reload.opaque.data": [*ids(ME), *SIGNED],
        },
    ),
    (
        {"via_list": (OPAQUE,), "destination_list": (COMPACT, NodeDestination(C))},
        {
            "reload.forwarding.destination.compressed_id": ["0x8abc"],
            "reload.destination.data.nodeid": ids(C),
            "reload.forwarding.via_list.length": ["9"],
            "reload.forwarding.destination_list.length": ["20"],
        },
    ),
    (
        {
            "options": (
                ForwardingOption(type=1, flags=7, value=b"xyz"),
                ForwardingOption(type=2, flags=8, value=encode(RPR)),
            ),
            "ttl": 55,
            "max_response_length": 5000,
            "configuration_sequence": 65535,
        },
        {
            "reload.forwarding.options.length": [str(7 + 4 + len(encode(RPR)))],
            "reload.routemode": ["2"],
            "reload.extensiveroutingmode.transport": ["4"],
            "reload.destination.data.nodeid": ids(ME, A, ME),
            # Of the option's destinations as well.
            "reload.forwarding.destination.type": ["0x01"] * 3,
        },
    ),
]


def test_headers_are_read_as_they_were_meant(tmp_path: Path) -> None:
    messages = [
        (message(MessageCode.PING_REQ, methods.PingReq(), number, **header), 23, expected)
        for number, (header, expected) in enumerate(HEADERS)
    ]
    octets = messages[0][0]
    header, start = decode_header(octets)
    hop = forward(
        octets,
        header,
        start,
        via_list=(*header.via_list, NodeDestination(ME)),
        destination_list=header.destination_list,
    )
    forwarded = {"reload.forwarding.ttl": ["99"], "reload.forwarding.via_list.length": ["54"]}
    assert_read(tmp_path / "headers.pcap", [*messages, (hop, 23, forwarded)])


def test_security_blocks_and_extensions_are_read_as_they_were_meant(tmp_path: Path) -> None:
    node_id_hash = SignerIdentity(identity_type=2, identity=CertificateHash(hash_alg=4, certificate_hash=b"\xee" * 32))
    probe = methods.ProbeReq(requested_info=(3,))
    sizes = extensions.SelfTuningData(network_size=7, join_rate=8, leave_rate=9)
    assert_read(
        tmp_path / "blocks.pcap",
        [
            (
                message(
                    1, probe, 1, certificates=tuple(GenericCertificate(type=0, certificate=c) for c in CERTIFICATES)
                ),
                1,
                {
                    "reload.certificate.type": ["0", "0"],
                    "x509ce.uniformResourceIdentifier": [URI, URI],
                    "reload.hash_algorithm": ["4"],
                    "reload.signature_algorithm": ["3"],
                    "reload.signature.identity.type": ["1"],
                    "reload.signeridentityvalue.hash_alg": ["4"],
                    "reload.opaque.data": SIGNED,
                },
            ),
            (
                message(1, probe, 2, signature=attrs.evolve(SIGNATURE, identity=node_id_hash)),
                1,
                {"reload.signature.identity.type": ["2"], "reload.opaque.data": ids(b"\xee" * 32, b"\x5a" * 70)},
            ),
            (
                # The dissector has self_tuning_data at 2 and Diagnostic_Ping at 3, and reads the contents as the other.
                message(
                    1,
                    probe,
                    3,
                    extensions=(MessageExtension(type=3, critical=False, extension_contents=encode(sizes)),),
                ),
                1,
                {"reload.message_extension.type": ["3"], "reload.message_extension.critical": ["0"]},
            ),
            (
                message(1, probe, 4, extensions=(MessageExtension(type=9, critical=True, extension_contents=b"zz"),)),
                1,
                {
                    "reload.message_extension.type": ["9"],
                    "reload.message_extension.critical": ["1"],
                    "reload.message_extension.content": ids(b"\0\0\0\2zz"),
                },
            ),
        ],
    )


def _certificate() -> bytes:
    """That of the messages built by hand."""
    (line,) = [line for line in DATA.read_text().splitlines() if line.startswith("ping_req ")]
    octets = bytes.fromhex(line.split()[1])
    at = octets.index(bytes.fromhex("00 02e6 3082")) + 3
    return octets[at : at + 0x2E6]


DATA = Path(__file__).parents[1] / "data" / "reload_messages.txt"
CERTIFICATES = (_certificate(),) * 2
URI = "reload://0110500d81aafe637717a52f8650e54206e6@overlay.example.org/"


@pytest.mark.parametrize("again", [None, 500])
def test_fragments_are_read_and_reassembled(again: int | None, tmp_path: Path) -> None:
    whole = message(MessageCode.PING_REQ, methods.PingReq(padding=bytes(2500)), 77)
    fragments = fragment(whole, 900)
    if again is not None:
        fragments = [part for each in fragments for part in fragment(each, again)]
    frames = [encode_frame(DataFrame(number, octets)) for number, octets in enumerate(fragments)]
    fields = [
        "reload.forwarding.fragment.offset",
        "reload.forwarding.fragment.last",
        "reload.message.code",
        "reload.reassembled.length",
        "reload.length.16",
    ]
    found = dissected(tmp_path / "fragments.pcap", frames, fields, defragment=True)
    headers = [decode_header(octets)[0] for octets in fragments]
    assert [values[fields[0]] for values in found] == [[str(header.fragment_offset)] for header in headers]
    assert [values[fields[1]] for values in found] == [[str(int(header.is_last_fragment))] for header in headers]
    assert [values["reload.message.code"] for values in found] == [[]] * (len(found) - 1) + [["23"]]
    _, start = decode_header(whole)
    assert found[-1]["reload.reassembled.length"] == [str(len(whole) - start)]
    assert found[-1]["reload.length.16"][0] == "2500"


DATA_FRAME = encode_frame(DataFrame(9, message(MessageCode.PING_REQ, methods.PingReq(), 1)))
"""By the first message the dissector knows that what is on the path is RELOAD."""


def test_acknowledgements_are_read_as_they_were_meant(tmp_path: Path) -> None:
    frames = [AckFrame(0, 0), AckFrame(9, 0b101), AckFrame(0xFFFFFFFF, 0x7FFFFFFF)]
    fields = ["reload_framing.type", "reload_framing.ack_sequence", "reload_framing.received"]
    found = dissected(tmp_path / "acks.pcap", [DATA_FRAME, *map(encode_frame, frames)], fields)
    assert found[1:] == [
        dict(zip(fields, (["129"], [str(frame.ack_sequence)], [f"{frame.received:#010x}"]), strict=True))
        for frame in frames
    ]


def test_the_bits_of_an_acknowledgement_are_those_that_wireshark_reads(tmp_path: Path) -> None:
    # T1: it prints the sequence numbers M for which bit N-M-1 is set.
    write_pcap(tmp_path / "ack.pcap", [DATA_FRAME, encode_frame(AckFrame(9, 0b1000101))])
    command = ["tshark", "-r", str(tmp_path / "ack.pcap"), "-V"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    (line,) = [line.strip() for line in shown.splitlines() if "Acked Frames" in line]
    assert line == "[Acked Frames:[2,6,8]]"
    mask = ReceivedMask()
    for sequence in (2, 6, 8):
        mask.acknowledge(sequence)
    assert mask.acknowledge(9).received == 0b1000101
