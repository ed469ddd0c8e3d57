"""Sequence numbers and clocks that wrap in the middle of a stream."""

import random
import struct
from typing import Any

import pytest
from utp_network import A, B, Network

from ledbat.reno import NewReno
from ledbat.utp import Closed, EofReceived


@pytest.mark.parametrize("seq_nr", [0xFFFF, 0xFFF0, 0xFF00, 0x7FF0, 0])
def test_sequence_numbers_wrap_in_the_middle_of_a_lossy_stream(seq_nr: int) -> None:
    """65535 is followed by 0, with holes, selective acknowledgements and retransmissions around it."""
    for loss in (0.0, 0.1):
        network = Network(delay=0.02)
        chance = random.Random(8)

        def fate(*_: Any, loss: float = loss, chance: random.Random = chance) -> list[float]:
            return [] if chance.random() < loss else [0.02 + 0.01 * chance.random()]

        network.fate = fate
        numbers = [b"\x12\x34", struct.pack(">H", seq_nr), struct.pack(">H", seq_nr)]
        a = network.host(A, random_bytes=lambda size, numbers=numbers: numbers.pop(0))
        b = network.host(B, random_bytes=lambda size, seq_nr=seq_nr: struct.pack(">H", seq_nr))
        data = random.Random(9).randbytes(300_000)
        number = a.connect(B)
        a.send(number, data, finish=True)
        network.run_until(lambda b=b: bool(b.of(EofReceived)))
        b.send(b.incoming, data, finish=True)
        network.run_until(lambda a=a, b=b: bool(a.of(Closed) and b.of(Closed)))
        assert b.received[b.incoming] == data
        assert a.received[number] == data
        assert [event.reason.name for event in a.of(Closed) + b.of(Closed)] == ["FINISHED"] * 2


def test_a_stream_of_more_packets_than_there_are_sequence_numbers() -> None:
    """Once around and further."""
    network = Network(delay=0.0005)
    a, b = network.pair(min_datagram=150, max_datagram=150, controller=lambda mss: NewReno(mss=mss))
    data = random.Random(9).randbytes(130) * 70_000
    number = a.connect(B)
    a.send(number, data, finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert b.received[b.incoming] == data
    assert a.endpoint.stats(number).retransmissions == 0


@pytest.mark.parametrize("start", [2**32 / 1e6 - 1.0, 2**31 / 1e6 - 1.0, 1.7e9, 0.0, -5.0])
def test_the_clock_of_32_bits_wraps_in_the_middle_of_a_stream(start: float) -> None:
    """timestamp_microseconds and its differences are modulo 2^32: no jump, no timeout, no slowdown."""
    reference = Network(delay=0.05, start=1000.0)
    wrapped = Network(delay=0.05, start=start)
    spans = []
    for network in (reference, wrapped):
        begin = network.now
        a, b = network.pair()
        data = random.Random(9).randbytes(1_000_000)
        number = a.connect(B)
        a.send(number, data, finish=True)
        network.run_until(lambda b=b: bool(b.of(EofReceived)))
        assert b.received[b.incoming] == data
        assert a.endpoint.stats(number).retransmissions == 0
        spans.append(network.now - begin)
    assert spans[1] == pytest.approx(spans[0], rel=0.02)
