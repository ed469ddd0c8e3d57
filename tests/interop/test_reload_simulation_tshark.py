"""Every message that peers of an overlay emit is read by Wireshark's dissector as it was meant, hop by hop.

A small overlay with real signatures does everything that nodes do; the expectation of each message is what our own
decoder, proven elsewhere, makes of it. Fields that tshark 4.0 reads wrongly are left out (shared requirements, 4.2).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import pytest
from reload_bodies import Expected, ids
from reload_tshark import COMMON, disagreements, dissected

from interop.reload_simulation import Host, Scenario, Signatures, SimulatedOverlay
from interop.reload_simulation._security import EPOCH, OVERLAY, VALUES, place_of
from reload import methods, storage_messages
from reload._presentation import decode
from reload.configuration_update import InForce
from reload.configuration_writer import write_document
from reload.contents import ErrorResponse, MessageCode
from reload.destinations import NodeDestination, ResourceDestination
from reload.framing import DataFrame, encode_frame
from reload.identity import node_id_uri, read_certificate
from reload.kinds import KindTable
from reload.message import Message, decode_body, decode_message
from reload.naming import resource_id
from reload.node import Node
from reload.operations import Failed, Fetch, Find, NewValue, Stat, Store, Wanted
from reload.ports import Signer
from reload.signing import own_identity
from reload.storage_messages import ArrayRange, ArraySpecifier, DataValue, SingleSpecifier
from reload.stored_data import decode_metadata, decode_values
from reload.usages.certificate_store import OwnCertificate

APPLICATION = 5060
ALL = ArraySpecifier((ArrayRange(0, 0xFFFFFFFF),))


class Play:
    """An overlay of ten peers whose messages are kept."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.overlay = SimulatedOverlay(Scenario(peers=10, signatures=Signatures.P256), make_node=self._make_node)
        security = self.overlay.security
        self.authority = security.enroll(0)
        configuration = attrs.evolve(
            security.in_force.configuration,
            configuration_signers=(self.authority.node_id,),
            kind_signers=(self.authority.node_id,),
        )
        security.in_force = attrs.evolve(security.in_force, configuration=configuration)
        self.overlay.traffic.taps.append(lambda at, source, destination, octets: self.messages.append(octets))
        self.overlay.grow(10)
        self.overlay.run(90.0)
        self.results: list[Any] = []

    @staticmethod
    def _make_node(signer: Signer, in_force: InForce, now: float, random_bytes: Callable[[int], bytes]) -> Node:
        return Node(
            signer, in_force, epoch=EPOCH, now=now, random_bytes=random_bytes, applications=frozenset({APPLICATION})
        )

    def act(self) -> None:
        """Whatever a node can do."""
        overlay = self.overlay
        host, *_, other = list(overlay)[:6]
        place = place_of(host.node_id, 1)
        own = own_identity(host.signer, OVERLAY)
        user = resource_id(str(own.user_name).encode())
        single, array = Wanted(VALUES.id, SingleSpecifier()), Wanted(0x10, ALL)
        host.node.run(OwnCertificate(own).store(), overlay.now)
        for operation in (
            Store(place, (NewValue(VALUES.id, DataValue(True, b"abc"), 600),)),
            Fetch(place, (single,)),
            Stat(place, (single,)),
            Find(place, (VALUES.id, 3)),
        ):
            host.perform(operation, self.results.append)
            overlay.run(2.0)
        for operation in (
            Fetch(user, (array,)),
            Stat(user, (array, Wanted(3, ALL))),
            Fetch(resource_id(b"nobody"), (single, array)),
            Store(place, (NewValue(VALUES.id, DataValue(True, b"not mine"), 600),)),
        ):
            other.perform(operation, self.results.append)
            overlay.run(2.0)
        node, at = host.node, overlay.now
        node.ping((NodeDestination(other.node_id),), at, padding=b"\1\2\3")
        node.probe((NodeDestination(other.node_id),), (1, 2, 3), at)
        node.route_query((NodeDestination(other.node_id),), ResourceDestination(place), at, send_update=True)
        node.app_attach((NodeDestination(other.node_id),), APPLICATION, at)
        node.app_attach((NodeDestination(other.node_id),), 9, at)
        host.pump()
        overlay.run(5.0)
        self._configure(host)
        overlay.depart(other, gracefully=True)
        overlay.run(60.0)

    def _configure(self, host: Host) -> None:
        """Another configuration spreads."""
        configuration = attrs.evolve(self.overlay.security.in_force.configuration, sequence=2)
        document = write_document(configuration, [VALUES], signers=[self.authority], kind_signer=self.authority)
        host.node.update_configuration(document, self.overlay.now)
        host.pump()
        self.overlay.run(5.0)


@pytest.fixture(scope="module")
def play() -> Play:
    made = Play()
    made.act()
    return made


# What the dissector is expected to read, by message code.


def when(milliseconds: int) -> str:
    """A time as tshark shows it."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%b} {moment.day:2d}, {moment:%Y %H:%M:%S}.{rest:03d}000000 UTC"


def ice(body: methods.AttachReqAns | methods.AppAttachReq) -> Expected:
    addresses = [each.addr_port.addr_port for each in body.candidates]
    texts = [body.ufrag, body.password, body.role, *(each.foundation for each in body.candidates)]
    return {
        "reload.opaque.string": [text.decode() for text in texts],
        "reload.overlaylink.type": [str(int(each.overlay_link)) for each in body.candidates],
        "reload.icecandidate.type": [str(int(each.type)) for each in body.candidates],
        "reload.ipv4addr": [str(ip_address(each.addr)) for each in addresses],  # type: ignore[union-attr]
        "reload.port": [str(each.port) for each in addresses],  # type: ignore[union-attr]
    }


def update(body: methods.ChordUpdate) -> Expected:
    expected: Expected = {"reload.uptime": [str(body.uptime)], "reload.chordupdate.type": [str(body.type)]}
    tables = body.tables
    if tables is not None:
        fingers = tables.fingers if isinstance(tables, methods.ChordFull) else ()
        expected["reload.nodeid"] = ids(*tables.predecessors, *tables.successors, *fingers)
    return expected


def leave(body: methods.LeaveReq) -> Expected:
    data = decode(methods.ChordLeaveData, body.overlay_specific_data)
    return {
        "reload.leavereq.leaving_peer_id": ids(body.leaving_peer_id),
        "reload.nodeid": ids(*data.peers),
        "reload.chordleavedata.type": [str(data.type)],
    }


def probed(body: methods.ProbeAns) -> Expected:
    values = {each.type: each.value for each in body.probe_info}
    return {
        "reload.probe_information.type": [f"{kind:#04x}" for kind in values],
        "reload.responsible_set": [f"{values[1]:#010x}"],
        "reload.num_resources": [str(values[2])],
        "reload.uptime": [str(values[3])],
    }


def error(body: ErrorResponse) -> Expected:
    return {"reload.error_response.code": [str(body.error_code)]}


def certificates_stored(kind_data: Any, kinds: KindTable) -> list[storage_messages.StoredArrayEntry]:
    """The values of the Kinds of the certificate store."""
    return [value for each in kind_data if each.kind in (3, 0x10) for value in decode_values(each, kinds)]  # type: ignore[union-attr]


def stored(kind_data: Any, kinds: KindTable) -> Expected:
    """Kinds and generations; of values those whose data model the dissector knows."""
    values = certificates_stored(kind_data, kinds)
    return {
        "reload.kinddata.kind": [str(each.kind) for each in kind_data],
        "reload.generation_counter": [
            str(getattr(each, "generation_counter", getattr(each, "generation", None))) for each in kind_data
        ],
        "reload.arrayentry.index": [str(each.value.index) for each in values],
    }


def body_of(code: int, body: Any, kinds: KindTable) -> Expected:
    match MessageCode(code):
        case MessageCode.PROBE_REQ:
            return {"reload.probe_information.type": [f"{kind:#04x}" for kind in body.requested_info]}
        case MessageCode.PROBE_ANS:
            return probed(body)
        case MessageCode.ATTACH_REQ | MessageCode.ATTACH_ANS:
            return ice(body) | {"reload.sendupdate": [str(int(body.send_update))]}
        case MessageCode.APP_ATTACH_REQ | MessageCode.APP_ATTACH_ANS:
            return ice(body) | {"reload.application": [str(body.application)]}
        case MessageCode.JOIN_REQ:
            return {"reload.joinreq.joining_peer_id": ids(body.joining_peer_id)}
        case MessageCode.LEAVE_REQ:
            return leave(body)
        case MessageCode.UPDATE_REQ:
            return update(body)
        case MessageCode.ROUTE_QUERY_REQ:
            return {"reload.sendupdate": [str(int(body.send_update))]}
        case MessageCode.ROUTE_QUERY_ANS:
            return {"reload.chordroutequeryans.nodeid": ids(body.next_peer)}
        case MessageCode.PING_ANS:
            return {"reload.ping.response_id": [str(body.response_id)], "reload.ping.time": [when(body.time)]}
        case MessageCode.CONFIG_UPDATE_REQ:
            return {"reload.configupdatereq.type": [str(body.type)], "reload.length.24": [str(len(body.data))]}
        case MessageCode.ERROR:
            return error(body)
        case MessageCode.STORE_REQ:
            return stored(body.kind_data, kinds) | {"reload.store.replica_number": [str(body.replica_number)]}
        case MessageCode.STORE_ANS:
            replicas = [peer for each in body.kind_responses for peer in each.replicas]
            return stored_answer(body) | {"reload.nodeid": ids(*replicas)}
        case MessageCode.FETCH_ANS:
            return stored(body.kind_responses, kinds)
        case MessageCode.FETCH_REQ | MessageCode.STAT_REQ:
            return {
                "reload.kinddata.kind": [str(each.kind) for each in body.specifiers],
                "reload.generation_counter": [str(each.generation) for each in body.specifiers],
            }
        case MessageCode.STAT_ANS:
            return described(body, kinds)
        case MessageCode.FIND_REQ:
            return {"reload.kindid": [str(kind) for kind in body.kinds]}
        case MessageCode.FIND_ANS:
            return {"reload.kinddata.kind": [str(each.kind) for each in body.results]}
    return {}


def stored_answer(body: storage_messages.StoreAns) -> Expected:
    return {"reload.generation_counter": [str(each.generation_counter) for each in body.kind_responses]}


def described(body: storage_messages.StatAns, kinds: KindTable) -> Expected:
    known = [value for each in body.kind_responses if each.kind < 0x100 for value in decode_metadata(each, kinds)]  # type: ignore[union-attr]
    return {
        "reload.kinddata.kind": [str(each.kind) for each in body.kind_responses],
        "reload.arrayentry.index": [str(each.metadata.index) for each in known],
    }


def signed(message: Message, kinds: KindTable) -> Expected:
    """Whose certificates there are: those that are values, and those behind the contents."""
    body = decode_body(message.contents)
    kind_data = getattr(body, "kind_data", ())
    if message.contents.message_code == MessageCode.FETCH_ANS:
        kind_data = body.kind_responses
    values = [each.value.value for each in certificates_stored(kind_data, kinds)]
    bucket = message.security_block.certificates
    certificates = [value.value for value in values if value.exists] + [each.certificate for each in bucket]
    signature: Expected = {}
    if message.contents.message_code not in (MessageCode.STORE_REQ, MessageCode.FETCH_ANS):
        # Those have values with signatures of their own. SHA-256 with ECDSA, and a cert_hash.
        signature = {"reload.signature_algorithm": ["3"], "reload.signature.identity.type": ["1"]}
    return signature | {
        "reload.certificate.type": ["0"] * len(bucket),
        "x509ce.uniformResourceIdentifier": [
            node_id_uri(node_id, OVERLAY)
            for each in certificates
            for node_id in read_certificate(each, OVERLAY).node_ids
        ],
    }


def expectations(messages: list[bytes], kinds: KindTable) -> Iterator[tuple[bytes, int, Expected]]:
    for octets in messages:
        message = decode_message(octets)
        code = message.contents.message_code
        expected = signed(message, kinds) | body_of(code, decode_body(message.contents), kinds)
        if code == MessageCode.ROUTE_QUERY_REQ:
            # Of the body's destination as well.
            expected["reload.forwarding.destination.type"] = [
                *COMMON["reload.forwarding.destination.type"](message.header),
                "0x02",
            ]
        yield octets, code, expected


def test_the_overlay_has_sent_messages_of_every_kind(play: Play) -> None:
    seen = {decode_message(octets).contents.message_code for octets in play.messages}
    assert seen == set(MessageCode) - {
        # RFC 7851's, of whose codes the dissector knows nothing, and those of experiments.
        MessageCode.PATH_TRACK_REQ,
        MessageCode.PATH_TRACK_ANS,
        MessageCode.EXP_A_REQ,
        MessageCode.EXP_A_ANS,
        MessageCode.EXP_B_REQ,
        MessageCode.EXP_B_ANS,
    }
    assert sum(isinstance(result, Failed) for result in play.results) == 1


def test_every_message_on_every_hop_is_read_as_it_was_meant(play: Play, tmp_path: Path) -> None:
    cases = list(expectations(play.messages, play.overlay.security.in_force.kinds))
    fields = sorted({*COMMON, "reload.message.code"} | {field for _, _, expected in cases for field in expected})
    frames = [encode_frame(DataFrame(number, octets)) for number, (octets, _, _) in enumerate(cases)]
    found = dissected(tmp_path / "overlay.pcap", frames, fields)
    assert len(found) == len(cases) > 1000
    wrong = [
        (number, code, difference)
        for number, (values, (octets, code, expected)) in enumerate(zip(found, cases, strict=True))
        if (difference := disagreements(values, octets, code, expected))
    ]
    assert wrong == []


def test_ttl_and_via_list_show_the_way_of_a_request(play: Play) -> None:
    """Section 6.1.2: each hop takes one off the TTL, and adds the node that the message came from."""
    hops: dict[int, list[Message]] = {}
    for octets in play.messages:
        message = decode_message(octets)
        if message.contents.message_code in (MessageCode.FETCH_REQ, MessageCode.PING_REQ):
            hops.setdefault(message.header.transaction_id, []).append(message)
    long = [way for way in hops.values() if len(way) > 1]
    assert long
    for way in long:
        assert [each.header.ttl for each in way] == list(range(100, 100 - len(way), -1))
        assert [len(each.header.via_list) for each in way] == list(range(len(way)))
        assert all(each.signed == way[0].signed for each in way)
