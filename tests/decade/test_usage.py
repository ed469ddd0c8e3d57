"""Meters of octets, and of rates that decay."""

import pytest

from decade.usage import WINDOW, Meter, TrafficCounter


def test_a_steady_rate_is_shown_after_some_windows():
    meter = Meter()
    for tick in range(1000):
        meter.add(1250, tick * 0.1)
    assert meter.octets == 1_250_000
    assert meter.rate(100.0) == pytest.approx(100_000, rel=0.02)


def test_a_rate_decays_and_a_clock_that_goes_back_changes_nothing():
    meter = Meter()
    meter.add(1000, 50.0)
    assert meter.rate(40.0) == meter.rate(50.0) == 800
    assert meter.rate(50.0 + WINDOW) == round(800 / 2.718281828)
    assert meter.rate(1e9) == 0


def test_traffic_counts_at_each_node_above():
    traffic = TrafficCounter()
    traffic.add_received(("a", "x"), 5, 1.0)
    traffic.add_sent(("a",), 7, 1.0)
    counted = {
        path: (traffic.at(path).received.octets, traffic.at(path).sent.octets) for path in ((), ("a",), ("a", "x"))
    }
    assert counted == {(): (5, 7), ("a",): (5, 7), ("a", "x"): (5, 0)}
    traffic.forget(("a", "x"))
    assert traffic.at(("a", "x")).received.octets == 0
