"""STUN and TURN around an endpoint, against servers of our own on loopback; real ones are in test_nat_namespaces.py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aioice import stun, turn

from interop import _nat_traversal
from interop._nat_checks import Relayed, priority
from interop._nat_traversal import Traversal
from interop._udp_machine import PathMachine
from interop.nat import NatError, NatSettings, TurnServer
from interop.peer import PeerError, SwarmPeer
from interop.udp import UdpDriver
from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, hash_chunks
from ppsp.metadata import SwarmUri
from ppsp.store import MemoryStore
from ppsp.tracker import AbilityNat, AddressType, PeerAddr, PeerMode

Answer = Callable[[stun.Message, tuple[str, int]], list[bytes]]


class _Server(asyncio.DatagramProtocol):
    """A server on loopback that answers what it is told to."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.got: list[bytes] = []
        """What was no STUN."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[4:8] != b"\x21\x12\xa4\x42":
            self.got.append(data)
            return
        self.asked += 1
        for octets in self.answer(stun.parse_message(data), addr):
            self._transport.sendto(octets, addr)

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)

    def close(self) -> None:
        self._transport.close()


class _Endpoint:
    """A machine that notes what it gets, and says what it is told to."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.say: list[tuple[Any, Any]] = []

    def receive_datagram(self, data: memoryview, address: object, now: float) -> None:
        self.heard.append(bytes(data))

    def datagrams_to_send(self, now: float) -> list[tuple[Any, Any]]:
        said, self.say = self.say[:1], self.say[1:]
        return said

    def get_timer(self) -> None:
        return None

    def handle_timer(self, now: float) -> None:
        pass

    fragmentable = False

    def search_path_mtu(self, limit: int, *, exempt: Callable[[Any], bool] = lambda address: False) -> None:
        self.searched = (limit, exempt)

    def datagram_too_long(self, address: object, size: int, now: float) -> None:
        pass


def _response(request: stun.Message, mapped: tuple[str, int] | None, **others: Any) -> bytes:
    attributes = {} if mapped is None else {"XOR-MAPPED-ADDRESS": mapped}
    return bytes(stun.Message(request.message_method, stun.Class.RESPONSE, request.transaction_id, attributes | others))


def _reflexive(host: str, port: int) -> PeerAddr:
    kind = AddressType.REFLEXIVE
    return PeerAddr(host, port, priority(kind), kind, peer_protocol="PPSP-PP")


async def _numeric(host: str, port: int) -> tuple[str, int]:
    return host, port


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.01)


Work = Callable[[Traversal, _Endpoint, _Server, list[tuple[PeerAddr, ...]], UdpDriver], Awaitable[None]]


def _run(answer: Answer, work: Work, *, turn: bool = False) -> None:
    """Start a traversal that asks a server which answers so, and do `work` with it, given what it told of changes."""

    async def main() -> None:
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Server(answer), local_addr=("127.0.0.1", 0)
        )
        endpoint, changes = _Endpoint(), []
        settings = NatSettings(turn=TurnServer(*server.address)) if turn else NatSettings(stun=server.address)
        traversal = Traversal(endpoint, settings, lambda: changes.append(traversal.candidates))
        driver = await UdpDriver.open(traversal, ("127.0.0.1", 0))
        try:
            await traversal.start(driver, _numeric)
            await work(traversal, endpoint, server, changes, driver)
        finally:
            driver.close()
            await traversal.close()
            server.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nat_traversal, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(_nat_traversal, "GATHER_SECONDS", 0.5)


def test_the_mapping_of_the_endpoints_own_socket_is_found_and_a_change_is_told() -> None:
    mapped = [("198.51.100.2", 4000)]
    sources = set()

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        sources.add(source)
        assert "FINGERPRINT" in request.attributes
        return [_response(request, mapped[-1])]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        assert traversal.candidates == (_reflexive("198.51.100.2", 4000),)
        assert traversal.ability is AbilityNat.STUN
        await _until(lambda: server.asked > 2)
        assert changes == []
        mapped.append(("198.51.100.2", 4001))
        await _until(lambda: bool(changes))
        assert changes == [(_reflexive("198.51.100.2", 4001),)]
        assert sources == {driver.local_address}
        assert endpoint.heard == []

    _run(answer, work)


@pytest.mark.parametrize("mapped", [None, ("224.0.0.1", 9), ("0.0.0.0", 9), ("198.51.100.2", 0)])
def test_an_answer_without_a_usable_address_is_none(mapped: tuple[str, int] | None) -> None:
    async def work(traversal, endpoint, server, changes, driver) -> None:
        await _until(lambda: server.asked > 1)
        assert traversal.candidates == ()

    _run(lambda request, source: [_response(request, mapped)], work)


def test_what_is_no_answer_to_our_question_is_the_endpoints() -> None:
    """A channel ID may look like STUN, and others than the server may send what does (RFC 8489 section 5)."""
    waiting: list[stun.Message] = []

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        waiting.append(request)
        other = stun.Message(request.message_method, stun.Class.RESPONSE)
        return [b"\x01\x01\x00\x00\x21\x12\xa4\x42PPSPP", bytes(other), b"\x01\x01", b""]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        await _until(lambda: len(endpoint.heard) >= 3)
        assert endpoint.heard[0] == b"\x01\x01\x00\x00\x21\x12\xa4\x42PPSPP"
        _, spoofer = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Server(lambda request, source: []), local_addr=("127.0.0.1", 0)
        )
        forged = _response(waiting[-1], ("203.0.113.66", 6666))
        spoofer.send(forged, driver.local_address)
        await _until(lambda: forged in endpoint.heard)
        # From the server, with our ID, and yet no STUN message: it is dropped.
        server.send(forged[:8] + waiting[-1].transaction_id + b"\x00\x20\x00\x02", driver.local_address)
        await asyncio.sleep(0.05)
        spoofer.close()
        assert traversal.candidates == ()

    _run(answer, work)


def test_what_comes_from_the_server_with_our_id_and_is_no_response_to_it_changes_nothing() -> None:
    """RFC 8489 section 6.3: a message is looked at by its class and its method, too."""

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        other = stun.Message(stun.Method.ALLOCATE, request.message_class, request.transaction_id)
        return [bytes(request), _response(other, ("203.0.113.66", 6666)), _response(request, ("198.51.100.2", 5))]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        assert traversal.candidates == (_reflexive("198.51.100.2", 5),)

    _run(answer, work)


def test_a_server_that_refuses_or_is_silent_holds_nobody_up_and_may_answer_later() -> None:
    answers: list[Answer] = []

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        if answers:
            return answers[0](request, source)
        error = {"ERROR-CODE": (500, "Server Error")}
        return [bytes(stun.Message(request.message_method, stun.Class.ERROR, request.transaction_id, error))]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        assert traversal.candidates == ()
        answers.append(lambda request, source: [_response(request, ("198.51.100.2", 5))])
        await _until(lambda: traversal.candidates != () and bool(changes))
        assert len(changes) == 1

    _run(answer, work)


def test_a_relay_carries_what_is_for_relayed_addresses_and_its_loss_is_told() -> None:
    """An allocation that the server does not refresh is lost (RFC 8656 section 8)."""
    methods: list[stun.Method] = []
    peer = ("203.0.113.5", 9)

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        methods.append(request.message_method)
        match request.message_method:
            case stun.Method.ALLOCATE:
                more = {"XOR-RELAYED-ADDRESS": ("198.51.100.9", 50_000), "LIFETIME": 2}
                if methods.count(stun.Method.ALLOCATE) > 1:
                    return []
                return [_response(request, source, **more)]
            case stun.Method.REFRESH:
                error = {"ERROR-CODE": (437, "Allocation Mismatch")}
                return [bytes(stun.Message(request.message_method, stun.Class.ERROR, request.transaction_id, error))]
            case stun.Method.CHANNEL_BIND:
                return [_response(request, None), b"\x40\x00\x00\x05reply"]
        return [_response(request, ("198.51.100.2", 4000))]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        kind = AddressType.PROXY
        proxy = PeerAddr("198.51.100.9", 50_000, priority(kind), kind, peer_protocol="PPSP-PP")
        assert traversal.candidates == (_reflexive("198.51.100.2", 4000), proxy)
        assert (traversal.relay_family, traversal.ability) == ("ipv4", AbilityNat.TURN)
        endpoint.say = [((b"he", b"llo"), Relayed(*peer)), (b"direct", server.address)]
        driver.wake()
        await _until(lambda: len(server.got) == 2)
        assert set(server.got) == {b"direct", b"\x40\x00\x00\x05hello"}
        await _until(lambda: b"reply" in endpoint.heard)
        await _until(lambda: bool(changes))
        assert changes[0] == (_reflexive("198.51.100.2", 4000),)
        assert traversal.relay_family is None

    _run(answer, work, turn=True)


def test_what_goes_by_the_relay_is_exempt_from_the_search_for_long_datagrams() -> None:
    """The relay's socket does not keep whole what it wraps."""
    endpoint = _Endpoint()
    traversal = Traversal(endpoint, NatSettings(stun=("127.0.0.1", 9)), lambda: None)
    assert isinstance(traversal, PathMachine)
    traversal.search_path_mtu(9000)
    limit, exempt = endpoint.searched
    assert limit == 9000
    assert [exempt(address) for address in (Relayed("203.0.113.5", 9), ("203.0.113.5", 9))] == [True, False]


def test_a_relay_whose_channels_are_used_up_is_given_back_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8656 section 12: there are 4096 of them, and a tracker may name as many addresses."""
    monkeypatch.setattr(turn, "CHANNEL_NUMBER_MAX", 0x4000)
    given_back = []

    def answer(request: stun.Message, source: tuple[str, int]) -> list[bytes]:
        match request.message_method:
            case stun.Method.ALLOCATE:
                relayed = ("198.51.100.9", 50_000 + len(given_back))
                return [_response(request, source, **{"XOR-RELAYED-ADDRESS": relayed, "LIFETIME": 600})]
            case stun.Method.REFRESH:
                given_back.append(request.attributes["LIFETIME"])
        return [_response(request, ("198.51.100.2", 4000), LIFETIME=0)]

    async def work(traversal, endpoint, server, changes, driver) -> None:
        for number, port in enumerate((50_000, 50_001)):
            await _until(lambda port=port: port in [one.port for one in traversal.candidates])
            endpoint.say = [(b"hello", Relayed("203.0.113.5", 9)), (b"hello", Relayed("203.0.113.6", 9))]
            driver.wake()
            await _until(lambda number=number: min(len(given_back), len(server.got)) > number)
        assert given_back == [0, 0]
        assert server.got == [b"\x40\x00\x00\x05hello"] * 2

    _run(answer, work, turn=True)


class _Tracker:
    """Stands for a TrackerSession."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.announced: list[tuple[PeerAddr, ...]] = []
        self.finds = 0

    async def joined(self, swarm_id: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    def join(self, swarm_id: bytes, mode: PeerMode) -> None:
        pass

    def report(self, swarm_id: bytes, **figures: int) -> None:
        pass

    def find(self, swarm_id: bytes) -> None:
        self.finds += 1

    def announce(self, candidates: tuple[PeerAddr, ...]) -> None:
        self.announced.append(candidates)


CONTENT = bytes(5000)
TREE = MerkleTree.from_leaves(hash_chunks(CONTENT, 1024, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
METADATA = SwarmMetadata(TREE.root, chunk_size=1024)


def _source(*trackers: str, nat: NatSettings | None = None) -> SwarmPeer:
    store = MemoryStore()
    store.write(0, CONTENT)
    uri = SwarmUri(METADATA, trackers)
    return SwarmPeer(uri, store, tree=TREE, content_size=len(CONTENT), local=("127.0.0.1", 0), nat=nat)


def test_a_source_behind_a_nat_goes_to_who_fetches_and_leaves_who_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its tracker hears where it is, and where it is after its NAT was switched off and on."""
    sessions: list[_Tracker] = []

    async def open_session(url: str, peer_id: str, **arguments: Any) -> _Tracker:
        sessions.append(_Tracker(**arguments))
        return sessions[-1]

    monkeypatch.setattr("interop.peer.TrackerSession.open", open_session)
    monkeypatch.setattr("interop.peer._RETRY_SECONDS", 0.2)
    mapped = [("198.51.100.2", 4000)]

    async def main() -> None:
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Server(lambda request, source: [_response(request, mapped[-1])]), local_addr=("127.0.0.1", 0)
        )
        async with (
            _source() as complete,
            SwarmPeer(SwarmUri(METADATA), MemoryStore(), local=("127.0.0.1", 0)) as fetching,
            _source("http://tracker/", nat=NatSettings(stun=server.address)) as source,
        ):
            (session,) = sessions
            assert session.arguments["candidates"] == (_reflexive("198.51.100.2", 4000),)
            assert session.arguments["seeks_as_seeder"]
            assert session.arguments["peer_num"].ability_nat is AbilityNat.STUN
            await _until(lambda: session.finds > 1)
            found = {"a": [PeerAddr(*complete.local_address)], "b": [PeerAddr(*fetching.local_address)]}
            session.arguments["on_candidates"](METADATA.swarm_id, found)
            await fetching.completed()
            await _until(lambda: not source.stats.peers)
            session.arguments["on_candidates"](METADATA.swarm_id, found)
            await asyncio.sleep(0.1)
            assert not source.stats.peers
            mapped.append(("198.51.100.2", 4001))
            await _until(lambda: session.announced == [(_reflexive("198.51.100.2", 4001),)])
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("uri", "host", "port", "transport"),
    [
        ("turn:relay.example", "relay.example", 3478, "udp"),
        ("turn:192.0.2.1:3479?transport=tcp", "192.0.2.1", 3479, "tcp"),
        ("turn:[2001:db8::1]:1?transport=udp", "2001:db8::1", 1, "udp"),
    ],
)
def test_a_turn_uri_is_that_of_rfc_7065(uri: str, host: str, port: int, transport: str) -> None:
    assert TurnServer.parse(uri, "me", "secret") == TurnServer(host, port, transport, "me", "secret")
    assert "secret" not in repr(TurnServer.parse(uri, "me", "secret"))


@pytest.mark.parametrize("uri", ["", "relay:3478", "turn:", "turn:me@relay", "turn:relay:0", "turn:a:1?transport=x"])
def test_what_is_no_turn_uri_is_refused(uri: str) -> None:
    with pytest.raises(NatError, match="not a TURN server"):
        TurnServer.parse(uri)


def test_settings_name_a_server() -> None:
    with pytest.raises(ValueError, match="neither"):
        NatSettings()


def test_a_stun_server_without_an_address_is_a_mistake() -> None:
    async def main() -> None:
        uri = SwarmUri(SwarmMetadata(bytes(32)))
        with pytest.raises(PeerError, match=r"nobody\.invalid"):
            async with SwarmPeer(uri, MemoryStore(), nat=NatSettings(stun=("nobody.invalid", 3478))):
                pass

    asyncio.run(main())


def test_a_wrong_turn_server_is_told_in_one_line(cli) -> None:
    status, out, err = cli.run("seed", "file", "--turn", "relay.example")
    assert (status, out) == (2, "")
    assert "'relay.example' is not a TURN server, such as turn:relay.example:3478" in err
