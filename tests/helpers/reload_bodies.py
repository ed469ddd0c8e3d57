"""Every body that our nodes can send, and what Wireshark's dissector has to say of it, by its fields.

Left out is where tshark 4.0 is wrong, with the reason beside it (shared requirements, section 4.2).
"""

from typing import Any

from reload import extensions, methods, storage_messages
from reload._presentation import encode
from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort
from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents, MessageExtension, UnknownKinds
from reload.destinations import NodeDestination
from reload.header import ForwardingHeader
from reload.message import Message, encode_message
from reload.security_block import (
    CertificateHash,
    GenericCertificate,
    SecurityBlock,
    Signature,
    SignatureAndHashAlgorithm,
    SignerIdentity,
)
from reload.storage_messages import (
    ArrayEntry,
    ArrayEntryMeta,
    ArrayRange,
    ArraySpecifier,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    DictionarySpecifier,
    MetaData,
    StoredArrayEntry,
    StoredDictionaryEntry,
    StoredMetaArrayEntry,
    StoredMetaDictionaryEntry,
    StoredMetaSingle,
    StoredSingle,
)

ME, A, B, C = (letter * 16 for letter in (b"\x11", b"\xaa", b"\xbb", b"\xcc"))
V4 = IpAddressPort(type=1, addr_port=IPv4AddrPort(addr=bytes((192, 0, 2, 7)), port=6084))
V6 = IpAddressPort(type=2, addr_port=IPv6AddrPort(addr=bytes.fromhex("20010db8") + bytes(11) + b"\1", port=5060))
SIGNATURE = Signature(
    algorithm=SignatureAndHashAlgorithm(hash=4, signature=3),
    identity=SignerIdentity(identity_type=1, identity=CertificateHash(hash_alg=4, certificate_hash=b"\xc0" * 32)),
    signature_value=b"\x5a" * 70,
)
SYNTHETIC = Signature(
    algorithm=SignatureAndHashAlgorithm(hash=0, signature=0),
    identity=SignerIdentity(identity_type=3, identity=None),
    signature_value=b"",
)
WHEN = 1_700_000_000_123
SHOWN_WHEN = "Nov 14, 2023 22:13:20.123000000 UTC"
Expected = dict[str, list[str]]


def ids(*values: bytes) -> list[str]:
    return [value.hex() for value in values]


SIGNED = ids(b"\xc0" * 32, b"\x5a" * 70)
"""Octets of the message's signature: the hash of a certificate, and the value."""


def candidate(**changed: Any) -> methods.IceCandidate:
    made: dict[str, Any] = {"addr_port": V4, "overlay_link": 1, "foundation": b"f1", "priority": 7, "type": 1}
    return methods.IceCandidate(**(made | changed))


CANDIDATES = (
    candidate(),
    candidate(addr_port=V6, overlay_link=3, foundation=b"f2", type=2, rel_addr_port=V4),
    candidate(
        overlay_link=4,
        foundation=b"f3",
        type=4,
        rel_addr_port=V6,
        extensions=(methods.IceExtension(name=b"n", value=b"v"),),
    ),
)
ICE: Expected = {
    "reload.overlaylink.type": ["1", "3", "4"],
    "reload.icecandidate.type": ["1", "2", "4"],
    "reload.ipv4addr": ["192.0.2.7"] * 3,
    "reload.ipv6addr": ["2001:db8::1"] * 2,
    "reload.port": ["6084", "5060", "6084", "6084", "5060"],
    # Not reload.icecandidate.priority: read at the candidate's start instead of its place.
}
PLAIN: list[tuple[int, Any, Expected]] = [
    (
        MessageCode.PROBE_REQ,
        methods.ProbeReq(requested_info=(1, 2, 3)),
        {"reload.probe_information.type": ["0x01", "0x02", "0x03"]},
    ),
    (
        MessageCode.PROBE_ANS,
        methods.ProbeAns(
            probe_info=tuple(methods.ProbeInformation(type=kind, value=kind * 1000) for kind in (1, 2, 3))
        ),
        {
            "reload.probe_information.type": ["0x01", "0x02", "0x03"],
            "reload.responsible_set": ["0x000003e8"],
            "reload.num_resources": ["2000"],
            "reload.uptime": ["3000"],
        },
    ),
    (
        MessageCode.ATTACH_REQ,
        methods.AttachReqAns(ufrag=b"ufrg", password=b"pass", role=b"passive", candidates=CANDIDATES, send_update=True),
        ICE
        | {
            "reload.opaque.string": ["ufrg", "pass", "passive", "f1", "f2", "f3"],
            "reload.sendupdate": ["1"],
        },
    ),
    (
        MessageCode.ATTACH_ANS,
        methods.AttachReqAns(ufrag=b"", password=b"", role=b"active", candidates=(), send_update=False),
        {"reload.opaque.string": ["active"], "reload.sendupdate": ["0"]},
    ),
    (
        MessageCode.APP_ATTACH_REQ,
        methods.AppAttachReq(ufrag=b"ufrg", password=b"pass", application=5060, role=b"passive", candidates=CANDIDATES),
        ICE | {"reload.application": ["5060"]},
    ),
    (
        MessageCode.APP_ATTACH_ANS,
        methods.AppAttachAns(ufrag=b"ufrg", password=b"pass", application=5061, role=b"active", candidates=CANDIDATES),
        ICE | {"reload.application": ["5061"]},
    ),
    (MessageCode.JOIN_REQ, methods.JoinReq(joining_peer_id=A), {"reload.joinreq.joining_peer_id": ids(A)}),
    (
        MessageCode.JOIN_ANS,
        methods.JoinAns(overlay_specific_data=b"xyz"),
        {"reload.opaque.data": [*ids(b"xyz"), *SIGNED]},
    ),
    (
        MessageCode.LEAVE_REQ,
        methods.LeaveReq(leaving_peer_id=A, overlay_specific_data=encode(methods.ChordLeaveData(type=1, peers=(B, C)))),
        {
            "reload.leavereq.leaving_peer_id": ids(A),
            "reload.nodeid": ids(B, C),
            "reload.chordleavedata.type": ["1"],
        },
    ),
    (
        MessageCode.LEAVE_REQ,
        methods.LeaveReq(leaving_peer_id=A, overlay_specific_data=encode(methods.ChordLeaveData(type=2, peers=(B,)))),
        {
            "reload.leavereq.leaving_peer_id": ids(A),
            "reload.nodeid": ids(B),
            "reload.chordleavedata.type": ["2"],
        },
    ),
    (MessageCode.LEAVE_ANS, methods.Empty(), {}),
    (
        MessageCode.UPDATE_REQ,
        methods.ChordUpdate(uptime=42, type=1),
        {"reload.uptime": ["42"], "reload.chordupdate.type": ["1"]},
    ),
    (
        MessageCode.UPDATE_REQ,
        methods.ChordUpdate(uptime=43, type=2, tables=methods.ChordNeighbors(predecessors=(A,), successors=(B, C))),
        {"reload.uptime": ["43"], "reload.chordupdate.type": ["2"], "reload.nodeid": ids(A, B, C)},
    ),
    (
        MessageCode.UPDATE_REQ,
        methods.ChordUpdate(
            uptime=44, type=3, tables=methods.ChordFull(predecessors=(A,), successors=(B,), fingers=(C, ME))
        ),
        {"reload.uptime": ["44"], "reload.chordupdate.type": ["3"], "reload.nodeid": ids(A, B, C, ME)},
    ),
    (MessageCode.UPDATE_ANS, methods.Empty(), {}),
    (
        MessageCode.ROUTE_QUERY_REQ,
        methods.RouteQueryReq(send_update=True, destination=NodeDestination(B)),
        {
            "reload.sendupdate": ["1"],
            "reload.destination.data.nodeid": ids(ME, B),
            "reload.forwarding.destination.type": ["0x01"] * 2,
        },
    ),
    (
        MessageCode.ROUTE_QUERY_ANS,
        methods.ChordRouteQueryAns(next_peer=C),
        {"reload.chordroutequeryans.nodeid": ids(C)},
    ),
    (MessageCode.PING_REQ, methods.PingReq(padding=b"\1\2\3"), {"reload.opaque.data": [*ids(b"\1\2\3"), *SIGNED]}),
    (
        MessageCode.PING_ANS,
        methods.PingAns(response_id=0x0102030405060708, time=WHEN),
        {"reload.ping.response_id": [str(0x0102030405060708)], "reload.ping.time": [SHOWN_WHEN]},
    ),
    (
        MessageCode.CONFIG_UPDATE_REQ,
        methods.ConfigUpdateReq(type=1, data=b"<overlay/>"),
        {"reload.configupdatereq.type": ["1"], "reload.length.24": ["10"]},
    ),
    (
        MessageCode.CONFIG_UPDATE_REQ,
        methods.ConfigUpdateReq(type=2, data=(b"<kind/>", b"<kind />")),
        {"reload.configupdatereq.type": ["2"], "reload.length.24": ["19"]},
    ),
    (MessageCode.CONFIG_UPDATE_ANS, methods.Empty(), {}),
    (
        MessageCode.ERROR,
        ErrorResponse(error_code=ErrorCode.FORBIDDEN, error_info=b"no"),
        {"reload.error_response.code": ["2"], "reload.opaque.string": ["no"]},
    ),
    (
        MessageCode.ERROR,
        ErrorResponse(error_code=ErrorCode.UNKNOWN_KIND, error_info=encode(UnknownKinds(unknown_kinds=(5, 6)))),
        {"reload.error_response.code": ["12"]},
    ),
]
ABC = DataValue(exists=True, value=b"abc")
STORED = (
    # By the Kind, whose data model the dissector knows: REDIR is 104 for it instead of 0x104, and left out.
    (2, StoredSingle(storage_time=WHEN, lifetime=60, value=DataValue(exists=False), signature=SYNTHETIC)),
    (
        3,
        StoredArrayEntry(
            storage_time=WHEN,
            lifetime=61,
            value=ArrayEntry(index=5, value=DataValue(exists=False)),
            signature=SIGNATURE,
        ),
    ),
    (
        1,
        StoredDictionaryEntry(
            storage_time=WHEN,
            lifetime=62,
            value=DictionaryEntry(
                key=A,
                value=DataValue(
                    exists=True,
                    value=encode(
                        extensions.SipRegistration(type=1, data=extensions.SipRegistrationUri(uri=b"sam@example.org"))
                    ),
                ),
            ),
            signature=SIGNATURE,
        ),
    ),
    (
        1,
        StoredDictionaryEntry(
            storage_time=WHEN,
            lifetime=63,
            value=DictionaryEntry(
                key=B,
                value=DataValue(
                    exists=True,
                    value=encode(
                        extensions.SipRegistration(
                            type=2,
                            data=extensions.SipRegistrationRoute(
                                contact_prefs=b"(sip.schemes=SIP)", destination_list=(NodeDestination(C),)
                            ),
                        )
                    ),
                ),
            ),
            signature=SIGNATURE,
        ),
    ),
    (
        2,
        StoredSingle(
            storage_time=WHEN,
            lifetime=64,
            value=DataValue(exists=True, value=encode(extensions.TurnServer(iteration=3, server_address=V4))),
            signature=SIGNATURE,
        ),
    ),
)
META = MetaData(exists=True, value_length=3, hash_algorithm=4, hash_value=b"\xda" * 32)
METADATA = (
    (2, StoredMetaSingle(storage_time=WHEN, lifetime=60, metadata=META)),
    (3, StoredMetaArrayEntry(storage_time=WHEN, lifetime=61, metadata=ArrayEntryMeta(index=9, value=META))),
    (1, StoredMetaDictionaryEntry(storage_time=WHEN, lifetime=62, metadata=DictionaryEntryMeta(key=A, value=META))),
)
VALUES: Expected = {
    "reload.storeddata.storage_time": [SHOWN_WHEN] * 5,
    "reload.storeddata.lifetime": ["60", "61", "62", "63", "64"],
    "reload.datavalue.exists": ["0", "0", "1", "1", "1"],
    "reload.arrayentry.index": ["5"],
    "reload.turnserver.iteration": ["3"],
    "reload.sipregistration.type": ["1", "2"],
    "reload.forwarding.destination.type": ["0x01"] * 2,  # that of the header, and that of a registration
    "reload.kinddata.kind": ["2", "3", "1", "1", "2"],
    "reload.generation_counter": ["0", "1", "2", "3", "4"],
}
STORAGE: list[tuple[int, Any, Expected]] = [
    (
        MessageCode.STORE_REQ,
        storage_messages.StoreReq(
            resource=A,
            replica_number=2,
            kind_data=tuple(
                storage_messages.StoreKindData(kind=kind, generation_counter=place, values=(encode(value),))
                for place, (kind, value) in enumerate(STORED)
            ),
        ),
        VALUES | {"reload.store.replica_number": ["2"]},
    ),
    (
        MessageCode.STORE_ANS,
        storage_messages.StoreAns(
            kind_responses=(
                storage_messages.StoreKindResponse(kind=1, generation_counter=7, replicas=(A, B)),
                storage_messages.StoreKindResponse(kind=2, generation_counter=8, replicas=()),
            )
        ),
        {"reload.nodeid": ids(A, B), "reload.generation_counter": ["7", "8"]},
    ),
    (
        MessageCode.FETCH_ANS,
        storage_messages.FetchAns(
            kind_responses=tuple(
                storage_messages.FetchKindResponse(kind=kind, generation=place, values=(encode(value),))
                for place, (kind, value) in enumerate(STORED)
            )
        ),
        VALUES,
    ),
    *(
        (
            code,
            storage_messages.FetchReq(
                resource=A,
                specifiers=(
                    storage_messages.StoredDataSpecifier(kind=2, generation=7),
                    storage_messages.StoredDataSpecifier(
                        kind=3,
                        generation=8,
                        model_specifier=encode(
                            ArraySpecifier(indices=(ArrayRange(first=0, last=4), ArrayRange(first=6, last=0x7FFFFFFF)))
                        ),
                    ),
                    # Of a dictionary the keys are read at another offset, and come out empty.
                    storage_messages.StoredDataSpecifier(
                        kind=1, generation=9, model_specifier=encode(DictionarySpecifier(keys=(A,)))
                    ),
                ),
            ),
            {
                "reload.kinddata.kind": ["2", "3", "1"],
                "reload.generation_counter": ["7", "8", "9"],
                "reload.arrayrange": ["1", "1"],  # that they are there; their values have no field
            },
        )
        for code in (MessageCode.FETCH_REQ, MessageCode.STAT_REQ)
    ),
    (
        MessageCode.STAT_ANS,
        storage_messages.StatAns(
            kind_responses=tuple(
                storage_messages.StatKindResponse(kind=kind, generation=place, values=(encode(value),))
                for place, (kind, value) in enumerate(METADATA)
            )
        ),
        {
            "reload.kinddata.kind": ["2", "3", "1"],
            "reload.storeddata.lifetime": ["60", "61", "62"],
            "reload.metadata.value_length": ["3"] * 3,
            "reload.arrayentry.index": ["9"],
        },
    ),
    (
        MessageCode.FIND_REQ,
        storage_messages.FindReq(resource=A, kinds=(1, 0xF0000001)),
        {"reload.kindid": ["1", "4026531841"]},
    ),
    (
        MessageCode.FIND_ANS,
        storage_messages.FindAns(
            results=(
                storage_messages.FindKindData(kind=1, closest=bytes(16)),
                storage_messages.FindKindData(kind=2, closest=B),
            )
        ),
        {"reload.kinddata.kind": ["1", "2"], "reload.opaque.data": [*ids(bytes(16), B), *SIGNED]},
    ),
]


def message(
    code: int,
    body: Any,
    number: int,
    *,
    extensions: tuple[MessageExtension, ...] = (),
    signature: Signature = SIGNATURE,
    certificates: tuple[GenericCertificate, ...] = (),
    **header: Any,
) -> bytes:
    made: dict[str, Any] = {"destination_list": (NodeDestination(ME),), "configuration_sequence": 22}
    contents = MessageContents(
        message_code=code, message_body=body if isinstance(body, bytes) else encode(body), extensions=extensions
    )
    head = ForwardingHeader(0x9AA32B8D, number, **(made | header))
    return encode_message(Message(head, contents, SecurityBlock(certificates=certificates, signature=signature)))
