"""The parts of the simulation of overlays: the truth about the ring, links, what is counted."""

import random
from collections.abc import Callable

import pytest

from interop.reload_simulation import Maintenance, Ring, Scenario, Signatures
from interop.reload_simulation._network import CLOSED, CONSENT, UNACKNOWLEDGED, Connection, End, Network
from interop.reload_simulation._reliable import ReliableConnection
from interop.reload_simulation._report import Figures, code_name
from interop.reload_simulation._security import EPOCH, OVERLAY, VALUES, Security, place_of
from interop.reload_simulation._traffic import ACKNOWLEDGEMENT, Trace, Traffic
from interop.simulation import Engine
from reload._presentation import encode
from reload.configuration import CHORD_SELF_TUNING
from reload.contents import MessageCode, MessageContents
from reload.destinations import Destination, NodeDestination, ResourceDestination
from reload.header import ForwardingHeader
from reload.message import Message, encode_message
from reload.naming import overlay_hash
from reload.security_block import SecurityBlock, Signature, SignatureAndHashAlgorithm, SignerIdentity

A, B, C = (bytes(15) + bytes([number]) for number in (10, 20, 30))
UNSIGNED = SecurityBlock((), Signature(SignatureAndHashAlgorithm(0, 0), SignerIdentity(3, None), b""))


def message(
    code: int, transaction: int = 1, *, ttl: int = 100, to: Destination | None = None, via: tuple[Destination, ...] = ()
) -> bytes:
    header = ForwardingHeader(
        overlay_hash(OVERLAY), transaction, (to or ResourceDestination(A),), via_list=via, ttl=ttl
    )
    return encode_message(Message(header, MessageContents(code, b""), UNSIGNED))


class Station:
    """An end that keeps what it gets."""

    def __init__(self, number: int, now: Callable[[], float]) -> None:
        self.number = number
        self.is_up = True
        self.connections: dict[int, tuple[Connection, int]] = {}
        self.received: list[tuple[float, bytes]] = []
        self.told: list[tuple[str, float]] = []
        self._now = now

    def established(self, connection: Connection, side: int, peer: End, attach: int | None) -> None:
        connection.open(side, 7)
        self.told.append(("established", self._now()))

    def receive(self, link: int, octets: bytes) -> None:
        self.received.append((self._now(), octets))

    def lost(self, link: int) -> None:
        self.told.append(("lost", self._now()))

    def is_failing(self, link: int, failing: bool) -> None:
        self.told.append(("failing" if failing else "restored", self._now()))

    def not_connected(self, attach: int | None) -> None:
        self.told.append(("not connected", self._now()))

    def send(self, octets: bytes) -> None:
        connection, side = self.connections[7]
        connection.send(side, octets)

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.told]


class World:
    """Two stations, connected."""

    def __init__(self, *, loss: float = 0.0, reliable: bool = False) -> None:
        self.engine = Engine()
        self.traffic = Traffic()
        self.network = Network(
            self.engine, self.traffic, 1, make_connection=ReliableConnection if reliable else Connection
        )
        self.one, self.other = (Station(number, lambda: self.engine.now) for number in (1, 2))
        self.network.connect((self.one, self.other), (1, 2))
        self.engine.run(1.0)
        self.network.loss = loss


def test_the_ring_knows_who_is_responsible() -> None:
    ring = Ring()
    for node_id in (C, A, B, B):
        ring.add(node_id)
    assert (list(ring), len(ring), A in ring, b"\xff" * 16 in ring) == ([A, B, C], 3, True, False)
    assert ring.owner(A) == A
    assert ring.owner(A[:-1] + b"\x0b") == B
    assert ring.owner(b"\xff" * 16) == A
    assert ring.holders(B) == (B, C, A)
    assert (ring.successor(C), ring.predecessor(A), ring.predecessor(B)) == (A, C, A)
    ring.remove(C)
    ring.remove(C)
    assert ring.holders(B) == (B, A)


def test_a_connection_takes_round_trips_and_messages_take_time() -> None:
    world = World()
    latency = world.network.latency_us(1, 2) / 1e6
    assert world.network.latency_us(2, 1) == world.network.latency_us(1, 2)
    assert world.other.told == [("established", pytest.approx(6 * latency))]
    assert world.one.told == [("established", pytest.approx(7 * latency))]
    octets = message(MessageCode.PING_REQ)
    world.one.send(octets)
    world.engine.run()
    assert world.other.received == [(pytest.approx(1.0 + latency), octets)]


def test_the_first_message_of_a_server_finds_the_client_ready() -> None:
    world = World()
    greeting = message(MessageCode.UPDATE_REQ)

    class Server(Station):
        def established(self, connection: Connection, side: int, peer: End, attach: int | None) -> None:
            super().established(connection, side, peer, attach)
            self.send(greeting)

    client, server = Station(3, lambda: world.engine.now), Server(4, lambda: world.engine.now)
    world.network.connect((client, server), (1, 1))
    world.engine.run(2.0)
    assert [octets for _, octets in client.received] == [greeting]


def test_a_silent_end_is_noticed_late_and_sooner_when_something_is_sent() -> None:
    quiet, busy = World(), World()
    for world in (quiet, busy):
        world.other.is_up = False
        for connection, side in list(world.other.connections.values()):
            connection.vanish(side)
    busy.one.send(message(MessageCode.PING_REQ))
    for world in (quiet, busy):
        world.engine.run(60.0)
        assert world.one.connections == {}
        assert world.other.received == []
    assert quiet.one.words == ["established", "lost"]
    assert CONSENT[0] <= quiet.one.told[1][1] - 1.0 <= CONSENT[1]
    assert busy.one.words == ["established", "failing", "lost"]
    assert [at - 1.0 for _, at in busy.one.told[1:]] == pytest.approx([UNACKNOWLEDGED, CLOSED])


def test_a_link_that_fails_in_a_short_partition_is_restored() -> None:
    world = World()
    world.network.cut_off([world.one])
    world.one.send(message(MessageCode.PING_REQ))
    world.engine.run(4.0)
    assert world.one.words == ["established", "failing"]
    world.network.heal()
    world.engine.run(60.0)
    assert world.one.words == ["established", "failing", "restored"]
    assert world.other.words == ["established"]
    world.one.send(message(MessageCode.PING_REQ))
    world.engine.run(61.0)
    assert len(world.other.received) == 1


def test_a_closed_link_is_closed_at_the_other_end() -> None:
    world = World()
    connection, side = world.one.connections[7]
    connection.close(side)
    world.engine.run()
    assert (world.one.words, world.other.words) == (["established"], ["established", "lost"])
    assert world.other.told[1][1] == pytest.approx(1.0 + world.network.latency_us(1, 2) / 1e6)


def test_a_short_partition_is_not_noticed_and_a_long_one_is_by_both() -> None:
    short, long = World(), World()
    for world, seconds in ((short, 5.0), (long, 60.0)):
        world.network.cut_off([world.one])
        assert not world.network.reaches(world.one, world.other)
        world.engine.run(world.engine.now + seconds)
        world.network.heal()
        world.engine.run(world.engine.now + 60.0)
    assert short.one.words == short.other.words == ["established"]
    assert long.one.words == long.other.words == ["established", "lost"]


def test_a_link_of_which_one_end_is_left_after_a_partition_is_noticed() -> None:
    world = World()
    world.network.cut_off([world.one])
    connection, side = world.one.connections[7]
    connection.close(side)
    world.engine.run(2.0)
    world.network.heal()
    world.engine.run(60.0)
    assert world.other.words == ["established", "lost"]


def test_nobody_connects_across_a_partition() -> None:
    world = World()
    one, other = Station(5, lambda: world.engine.now), Station(6, lambda: world.engine.now)
    world.network.connect((one, other), (1, 1))
    world.network.cut_off([one])
    world.engine.run(60.0)
    assert one.words == other.words == ["not connected"]


def test_what_is_lost_is_lost_without_reliability_and_comes_late_with_it() -> None:
    plain, reliable = World(loss=0.1), World(loss=0.1, reliable=True)
    octets = [message(MessageCode.PING_REQ, number) for number in range(50)]
    for world in (plain, reliable):
        for number, each in enumerate(octets):
            world.engine.call_at(1.0 + number, world.one.send, each)
        world.engine.run(200.0)
    assert 30 < len(plain.other.received) < 50
    assert [each for _, each in reliable.other.received] == octets
    counted = reliable.traffic.maintenance.messages
    assert counted[MessageCode.PING_REQ] > 52
    assert 50 <= counted[ACKNOWLEDGEMENT] < counted[MessageCode.PING_REQ]
    assert reliable.one.words[0] == "established"


def test_simple_reliability_finds_out_that_nobody_is_there() -> None:
    world = World(reliable=True)
    world.other.is_up = False
    for connection, side in list(world.other.connections.values()):
        connection.vanish(side)
    world.one.send(message(MessageCode.PING_REQ))
    world.engine.run(60.0)
    assert world.one.words == ["established", "failing", "lost"]


def test_a_request_is_followed_hop_by_hop_to_who_answers_it() -> None:
    traffic = Traffic()
    answered: list[Trace] = []
    traffic.answered = answered.append
    trace = Trace(1, A, MessageCode.FETCH_REQ)
    traffic.follow(trace)
    hops = [(1, 2, 100, ()), (2, 3, 99, (NodeDestination(B),)), (3, 4, 98, (NodeDestination(B), NodeDestination(C)))]
    for source, destination, ttl, via in hops:
        octets = message(MessageCode.FETCH_REQ, 5, ttl=ttl, via=via)
        traffic.see(0, source, destination, octets, is_stale=destination == 4)
    traffic.see(0, 4, 3, message(MessageCode.FETCH_ANS, 5, to=NodeDestination(B)), is_stale=False)
    traffic.see(0, 3, 2, message(MessageCode.FETCH_ANS, 5, ttl=99, to=NodeDestination(B)), is_stale=False)
    assert answered == [trace]
    assert (trace.hops, trace.transmissions, trace.stale_hops, trace.responder) == (3, 3, 1, 4)
    assert traffic.workload.messages == {MessageCode.FETCH_REQ: 3, MessageCode.FETCH_ANS: 2}
    traffic.forget(trace)
    # The Fetch of a peer that mends its replicas, and that of another user.
    traffic.see(0, 1, 2, message(MessageCode.FETCH_REQ, 6), is_stale=False)
    traffic.see(0, 1, 2, message(MessageCode.FETCH_REQ, 5), is_stale=False)
    assert traffic.maintenance.messages == {MessageCode.FETCH_REQ: 2}


def test_whoever_is_responsible_itself_needs_no_hop() -> None:
    traffic = Traffic()
    trace = Trace(1, A, MessageCode.FETCH_REQ)
    traffic.follow(trace)
    traffic.forget(trace)
    assert (trace.hops, trace.transmissions) == (None, 0)


def test_the_digest_depends_on_when_and_where() -> None:
    def digest(at_us: int, source: int) -> str:
        traffic = Traffic()
        traffic.see(at_us, source, 2, message(MessageCode.PING_REQ), is_stale=False)
        return traffic.digest

    assert len({digest(1, 1), digest(2, 1), digest(1, 3)}) == 3
    assert digest(1, 1) == digest(1, 1)


def test_a_tap_sees_every_message() -> None:
    world = World()
    seen: list[tuple[int, int, int, bytes]] = []
    world.traffic.taps.append(lambda *args: seen.append(args))
    octets = message(MessageCode.PING_REQ)
    world.one.send(octets)
    assert seen == [(1_000_000, 1, 2, octets)]


@pytest.mark.parametrize("signatures", Signatures)
def test_identities_are_those_of_the_seed(signatures: Signatures) -> None:
    scenario = Scenario(signatures=signatures)
    first, second = Security(scenario), Security(scenario)
    signer, again = first.enroll(1), second.enroll(1)
    assert signer.certificates == again.certificates
    assert signer.sign(b"octets").signature_value == again.sign(b"octets").signature_value
    assert first.enroll(2).node_id != signer.node_id
    assert Security(Scenario(signatures=signatures, seed=2)).enroll(1).node_id != signer.node_id
    verifier = first.in_force.verifier
    identity = verifier.identify(signer.certificates[0].certificate, signer.certificates, EPOCH)
    assert (identity.node_id, identity.user_name) == (signer.node_id, f"user1@{OVERLAY}")


def test_null_signatures_have_the_size_of_real_ones() -> None:
    null, real = (Security(Scenario(signatures=each)).enroll(100) for each in (Signatures.NULL, Signatures.P256))
    sizes = [len(encode(signer.certificates[0])) + len(encode(signer.sign(b"octets"))) for signer in (null, real)]
    assert abs(sizes[0] - sizes[1]) <= 8


def test_the_configuration_is_that_of_the_maintenance() -> None:
    reactive, periodic, tuning = (
        Security(Scenario(maintenance=each)).in_force.configuration
        for each in (Maintenance.REACTIVE, Maintenance.PERIODIC, Maintenance.SELF_TUNING)
    )
    assert (reactive.chord_reactive, periodic.chord_reactive) == (True, False)
    assert (reactive.topology_plugin, tuning.topology_plugin) == ("CHORD-RELOAD", CHORD_SELF_TUNING)


def test_places_of_a_peer_are_all_over_the_ring() -> None:
    places = {place_of(A, number) for number in range(1, VALUES.max_node_multiple + 1)}
    assert len({place[0] for place in places}) > 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"peers": 0},
        {"lookups": -1.0},
        {"loss": 1.5},
        {"graceful": -0.1},
        {"mean_session": 0.0},
        {"growth": 0.0},
        {"duration": -1.0},
    ],
)
def test_a_scenario_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Scenario(**wrong)  # type: ignore[arg-type]


def test_figures_are_those_of_the_numbers() -> None:
    numbers = list(range(1, 201))
    random.Random(1).shuffle(numbers)
    assert Figures.of(numbers) == Figures(100.5, 198, 200)
    assert Figures.of([]) == Figures(0.0, 0.0, 0.0)


def test_codes_have_the_names_of_messages() -> None:
    assert [code_name(code) for code in (0, ACKNOWLEDGEMENT, 9, 0xFFFF, 1000)] == [
        "fragment",
        "acknowledgement",
        "fetch_req",
        "error",
        "1000",
    ]
