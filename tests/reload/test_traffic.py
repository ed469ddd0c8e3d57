"""Counting of messages and octets (RFC 7851 section 5.3)."""

import pytest

from reload.diagnostic_information import MessagesSentRcvd
from reload.traffic import Average, Traffic


def test_the_first_average_is_that_of_the_first_five_seconds() -> None:
    average = Average(100.0)
    average.add(500, 101.0)
    average.add(1500, 104.0)
    assert average.value(105.0) == 400


def test_a_later_average_weighs_the_last_period_with_0_8() -> None:
    average = Average(0.0)
    average.add(5000, 1.0)
    average.add(2500, 6.0)
    assert average.value(10.0) == 0.8 * 500 + 0.2 * 1000


def test_what_is_looked_at_often_is_calculated_every_five_seconds_all_the_same() -> None:
    average = Average(0.0)
    for i in range(100):
        average.add(100, i / 10)
        average.value(i / 10)
    assert average.value(10.0) == 1000


def test_silence_makes_it_fall_by_periods() -> None:
    average = Average(0.0)
    average.add(50000, 1.0)
    assert average.value(5.0) == 10000
    assert average.value(10.0) == 2000
    assert average.value(15.0) == 400
    assert average.value(1e9) == 0


def test_before_the_first_period_ends_it_is_what_there_is_of_it() -> None:
    average = Average(0.0)
    average.add(300, 0.1)
    assert average.value(0.1) == 300
    assert average.value(3.0) == 100


def test_it_is_never_more_than_fits() -> None:
    average = Average(0.0)
    average.add(1 << 60, 1.0)
    assert average.value(5.0) == 0xFFFFFFFF


@pytest.mark.parametrize("now", [-1e6, 0.0, 4.0])
def test_a_clock_that_stands_or_goes_back_harms_nothing(now: float) -> None:
    average = Average(5.0)
    average.add(10, now)
    assert average.value(now) == 10


def test_messages_are_counted_by_their_code() -> None:
    traffic = Traffic(0.0)
    traffic.on_sent(23, 100, 0.0)
    traffic.on_received(24, 120, 0.0)
    traffic.on_received(24, 120, 0.0)
    traffic.on_sent(7, 900, 0.0)
    assert traffic.messages() == (MessagesSentRcvd(7, 1, 0), MessagesSentRcvd(23, 1, 0), MessagesSentRcvd(24, 0, 2))
    assert (traffic.sent.value(5.0), traffic.received.value(5.0)) == (200, 48)


def test_codes_that_peers_make_up_are_not_counted_but_their_octets_are() -> None:
    traffic = Traffic(0.0)
    for code in range(0x1000, 0x2000):
        traffic.on_received(code, 1, 1.0)
    traffic.on_received(None, 4, 1.0)
    assert traffic.messages() == ()
    assert traffic.received.value(5.0) == 820
