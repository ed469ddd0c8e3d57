"""Path-MTU discovery."""

from collections.abc import Callable
from typing import Any

import pytest
from utp_network import Network
from utp_wire import PEER, Wire

from ledbat.utp import PacketType, decode
from ledbat.utp.mtu import CLOSE_ENOUGH, SEARCH_AGAIN, MtuSearch, padding


def _search(search: MtuSearch, path: int, now: float = 0.0) -> list[int]:
    """Probe until the search ends on a path that carries `path` octets; returns the sizes."""
    sizes = []
    while (size := search.probe_size(now)) is not None:
        sizes.append(size)
        search.probe_seq = 1
        assert search.probe_size(now) is None  # one at a time
        if size <= path:
            search.probe_acked()
        else:
            search.probe_lost()
    return sizes


@pytest.mark.parametrize("path", [548, 560, 576, 700, 1000, 1200, 1372, 1400, 1464, 1472, 9000])
def test_the_search_ends_within_16_octets_of_what_the_path_carries(path: int) -> None:
    search = MtuSearch()
    sizes = _search(search, path)
    assert min(path, 1472) - CLOSE_ENOUGH < search.datagram <= min(path, 1472)
    assert len(sizes) <= 16


def test_the_largest_size_is_tried_first() -> None:
    assert _search(MtuSearch(), 1500) == [1472]


def test_a_size_is_too_large_when_two_probes_of_it_are_lost() -> None:
    """One may be lost for another reason."""
    search = MtuSearch()
    search.probe_seq = 1
    search.probe_lost()
    assert search.probe_size(0.0) == 1472
    search.probe_seq = 2
    search.probe_acked()
    assert search.datagram == 1472


def test_the_search_is_repeated_after_half_an_hour() -> None:
    search = MtuSearch()
    _search(search, 1000)
    assert search.probe_size(SEARCH_AGAIN - 1) is None
    assert search.probe_size(SEARCH_AGAIN) == 1472
    assert search.datagram > 984


def test_a_message_of_the_network_lowers_the_size_at_once() -> None:
    search = MtuSearch()
    _search(search, 1500)
    search.too_large(1200, 0.0)
    assert search.datagram == 1200
    assert search.probe_size(0.0) is None
    search.too_large(10, 0.0)
    assert search.datagram == 548


def test_a_black_hole_brings_the_size_down_and_a_new_search() -> None:
    search = MtuSearch()
    _search(search, 1500)
    search.black_hole(0.0)
    assert search.datagram == 548
    assert search.probe_size(0.0) == 1472


@pytest.mark.parametrize("octets", range(41))
def test_padding_fills_exactly_with_extensions_that_everybody_skips(octets: int) -> None:
    without, extensions = padding(octets)
    assert len(extensions) - without == octets
    assert 0 <= without < 10
    if extensions:
        wire = bytes.fromhex("0102 0001 00000000 00000000 00000000 0001 0001") + extensions
        packet = decode(wire)
        assert {kind for kind, _ in packet.extensions} == {2}
        assert {len(body) for _, body in packet.extensions} == {8}
        assert bytes(packet.payload) == b""


def _limit(network: Network, path: int) -> Callable[..., list[float]]:
    def fate(data: bytes, *_: Any) -> list[float]:
        return [0.02] if len(data) <= path else []

    return fate


@pytest.mark.parametrize("path", [548, 900, 1200, 1472])
def test_a_stream_crosses_any_path_and_finds_its_mtu(network: Network, path: int) -> None:
    network.fate = _limit(network, path)
    a, b, number, other = network.connected()
    a.send(number, bytes(600_000))
    network.run_until(lambda: len(b.received[other]) == 600_000, limit=60)
    assert path - CLOSE_ENOUGH < a.endpoint.stats(number).datagram <= path


def test_a_lost_probe_is_sent_again_without_padding_and_is_no_sign_of_congestion(network: Network) -> None:
    losses: list[Any] = []
    network.fate = _limit(network, 1000)
    a, b, number, other = network.connected()
    controller = a.endpoint._numbers[number].outbound.controller
    wrapped = _Telling(controller, losses)
    a.endpoint._numbers[number].outbound.controller = wrapped
    a.endpoint._numbers[number].outbound.recovery.controller = wrapped
    content = bytes(i % 251 for i in range(300_000))
    a.send(number, content)
    network.run_until(lambda: len(b.received[other]) == 300_000, limit=60)
    assert bytes(b.received[other]) == content
    assert losses == []
    assert a.endpoint.stats(number).retransmissions > 0


class _Telling:
    """Hands everything on, and takes note of losses and timeouts."""

    def __init__(self, inner: Any, losses: list[Any]) -> None:
        self._inner, self._losses = inner, losses

    def __getattr__(self, name: str) -> Any:
        if name in ("on_loss", "on_timeout"):
            self._losses.append(name)
        return getattr(self._inner, name)


def test_probes_are_of_the_size_searched_for_to_the_octet() -> None:
    wire = Wire()
    _, number = wire.dialled()
    wire.endpoint.send(number, bytes(5000))
    sizes = [
        len(datagram if isinstance(datagram, bytes) else b"".join(datagram))
        for datagram, _ in wire.endpoint.datagrams_to_send(wire.now)
    ]
    assert sizes[0] == 1472
    assert set(sizes[1:]) == {548}


def test_an_icmp_hint_reaches_the_connections_of_its_address_only() -> None:
    wire = Wire()
    syn, number = wire.dialled()
    wire.endpoint.path_mtu(("203.0.113.9", 1), 600, wire.now)
    wire.endpoint.send(number, bytes(20_000))
    probe, *rest = wire.take()
    assert rest
    wire.give(PacketType.STATE, syn.connection_id, 9000, rest[-1].seq_nr)
    assert wire.endpoint.stats(number).datagram == 1472
    wire.endpoint.path_mtu(PEER, 600, wire.now)
    assert wire.endpoint.stats(number).datagram == 600
    del probe
