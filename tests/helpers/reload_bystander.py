"""The other end of a link to a node under test: writes any message, and reads what the node sends."""

import random
from collections.abc import Callable
from typing import Any

import attrs
from reload_identities import NOW, node_id
from reload_overlay import MeshTopology, in_force

from reload._presentation import encode
from reload.configuration_update import InForce
from reload.contents import ErrorResponse, MessageCode, MessageContents
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.events import Completed, Event, LinkUnwanted, MessageDropped
from reload.exchange import Link
from reload.header import ForwardingHeader
from reload.message import Message, decode_body, decode_message
from reload.naming import overlay_hash
from reload.node import Node
from reload.null_security import NullSigner
from reload.ports import Identity, Signer
from reload.signing import encode_signed, sign_message

ME = 100
"""The Node-ID of the node under test, which is responsible for 51 to 100."""


_IN_FORCE = in_force()


def null_signer(number: int) -> Signer:
    return NullSigner(node_id(number))


class Bystander:
    """A neighbor of the node, with a link of its own; it can sign."""

    def __init__(
        self, bench: "Bench", number: int, *, signer: Signer | None = None, path_mtu: int | None = None
    ) -> None:
        self.bench = bench
        self.signer = signer or null_signer(number)
        self.number = number
        node, verifier = bench.node, bench.node.in_force.verifier
        certificates = self.signer.certificates
        self.identity: Identity = verifier.identify(certificates[0].certificate, certificates, NOW)
        self.link: Link = node.link_established(self.identity, bench.now, path_mtu=path_mtu)

    def octets(
        self,
        code: int,
        body: Any = b"",
        *destination_list: Destination,
        transaction: int = 1,
        signer: Signer | None = None,
        extensions: Any = (),
        **fields: Any,
    ) -> bytes:
        """A message, signed."""
        configuration = self.bench.node.in_force.configuration
        header = ForwardingHeader(
            **{
                "overlay": overlay_hash(configuration.instance_name),
                "transaction_id": transaction,
                "destination_list": destination_list or (NodeDestination(self.bench.node.node_id),),
                "configuration_sequence": configuration.sequence,
                **fields,
            }
        )
        octets = body if isinstance(body, bytes) else encode(body)
        return encode_signed(sign_message(header, MessageContents(code, octets, extensions), signer or self.signer))

    def send(self, code: int, body: Any = b"", *destination_list: Destination, **fields: Any) -> list[Message]:
        """Send a message; what the node sends to this neighbor thereupon."""
        return self.send_octets(self.octets(code, body, *destination_list, **fields))

    def send_octets(self, octets: bytes) -> list[Message]:
        """The same with octets of any kind."""
        self.bench.node.receive_message(self.link, octets, self.bench.now)
        return self.received()

    def received(self) -> list[Message]:
        """What the node has sent to this neighbor since the last look."""
        return [decode_message(octets) for octets in self.received_octets()]

    def received_octets(self) -> list[bytes]:
        """The same, as octets."""
        self.bench.collect()
        return self.bench.sent.pop(self.link, [])


@attrs.define(eq=False)
class Bench:
    """A node under test. It is a peer among others, which bystanders may play."""

    node: Node
    now: float = 0.0
    sent: dict[Link, list[bytes]] = attrs.Factory(dict)
    events: list[Event] = attrs.Factory(list)

    @property
    def topology(self) -> MeshTopology:
        topology = self.node.topology
        assert isinstance(topology, MeshTopology)
        return topology

    def collect(self) -> None:
        """Take what the node wants to send and to tell."""
        for link, octets in self.node.messages_to_send(self.now):
            self.sent.setdefault(link, []).append(octets)
        while (event := self.node.next_event()) is not None:
            self.events.append(event)

    def advance(self, seconds: float) -> None:
        """Let time pass, with all timers."""
        end = self.now + seconds
        while (timer := self.node.get_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.node.handle_timer(self.now)
        self.now = end
        self.collect()

    def drops(self) -> list[str]:
        """Why messages had no effect since the last look."""
        return self._take(MessageDropped, "reason")

    def closed(self) -> list[Link]:
        """Links that the node wanted closed since the last look."""
        return self._take(LinkUnwanted, "link")

    def results(self) -> list[Any]:
        """What has come of verbs since the last look."""
        return self._take(Completed, "result")

    def _take(self, kind: type, field: str) -> list[Any]:
        self.collect()
        found = [getattr(event, field) for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found


def bench(
    *others: int,
    in_force: InForce = _IN_FORCE,
    make_signer: Callable[[int], Signer] = null_signer,
    is_joined: bool = True,
    **options: Any,
) -> tuple[Bench, list[Bystander]]:
    """A node with links to such neighbors, which are peers like itself. Its ring has its predecessor at 50."""
    options.setdefault("make_topology", MeshTopology)
    node = Node(
        make_signer(ME),
        in_force,
        epoch=NOW,
        random_bytes=random.Random(1).randbytes,
        **options,
    )
    made = Bench(node)
    if is_joined and isinstance(node.topology, MeshTopology):
        made.topology.is_joined = True
        made.topology.peers = [node_id(50), node_id(ME), *map(node_id, others)]
    bystanders = [Bystander(made, number, signer=make_signer(number)) for number in others]
    made.collect()
    made.events.clear()
    return made, bystanders


def error_of(message: Message) -> int:
    """The code of an error."""
    assert message.contents.message_code == MessageCode.ERROR
    body = decode_body(message.contents)
    assert isinstance(body, ErrorResponse)
    return body.error_code


def me() -> NodeDestination:
    return NodeDestination(node_id(ME))


def at(number: int) -> NodeDestination:
    return NodeDestination(node_id(number))


def where(number: int) -> ResourceDestination:
    return ResourceDestination(node_id(number))
