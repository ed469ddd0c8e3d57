"""Whole swarms in virtual time: lossy lines, the hashes that go with chunks, fifty peers (issue 7, "Speed")."""

import math

import pytest
from ppsp_swarms import CHUNK, SimulatedSwarm

from ppsp import RarestFirst, Sequential


def _rate(**swarm: float) -> float:
    found = SimulatedSwarm(**swarm)  # type: ignore[arg-type]
    assert found.run()
    assert found.stores[0].content == found.content
    return found.rate


def test_one_per_cent_of_loss_leaves_four_fifths_of_the_rate_of_a_stream() -> None:
    """2 Mbit/s, 20 ms there and back, one source."""
    assert _rate(size=2 << 20, rate=2, loss=0.01) >= 0.8 * _rate(size=2 << 20, rate=2)


def test_eight_sources_make_up_for_the_loss_on_a_line_of_20_mbit() -> None:
    assert _rate(size=4 << 20, rate=20, loss=0.01, sources=8) >= 0.8 * _rate(size=4 << 20, rate=20, sources=8)


def test_one_source_under_loss_is_as_fast_as_rfc_6817_lets_it_be() -> None:
    """LEDBAT halves as TCP does (RFC 6817 section 2.4.2), so that TCP's formula bounds it: 1.22 MSS / (RTT sqrt(p))."""
    bound = 1.22 * CHUNK / (0.02 * math.sqrt(0.01))
    assert _rate(size=8 << 20, rate=20, loss=0.01) >= 0.8 * bound


@pytest.mark.parametrize("picker", [Sequential, RarestFirst])
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_hardly_more_than_one_hash_a_chunk_is_sent(picker: type, loss: float) -> None:
    swarm = SimulatedSwarm(1 << 20, rate=4, loss=loss, picker=picker)
    assert swarm.run()
    assert swarm.integrity_per_chunk <= 1.2


def test_fifty_peers_of_one_source_are_complete_and_serve_one_another() -> None:
    """One process with 51 endpoints."""
    swarm = SimulatedSwarm(128 << 10, rate=20, peers=50)
    assert swarm.run()
    assert all(store.content == swarm.content for store in swarm.stores)
    assert swarm.chunks_of_sources < 0.75 * 50 * 128
