"""RFC 6817 with slowdowns."""

import pytest

from ledbat.slowing import SlowingLedbat

MSS = 1000
RTT = 0.05


class Driver:
    """A flow that always fills its window, over a path without a queue."""

    def __init__(self) -> None:
        self.flow = SlowingLedbat(mss=MSS)
        self.now = 0.0

    def round(self, queue: float = 0.0) -> None:
        flow = self.flow
        flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=self.now)
        self.now += RTT + queue
        for _ in range(flow.flightsize // MSS):
            flow.on_ack(acked=MSS, delays_us=(25_000 + round(queue * 1e6),), rtt=RTT + queue, now=self.now)
            flow.on_sent(sent=max(flow.cwnd - flow.flightsize, 0), now=self.now)


def opened() -> Driver:
    """After slow start, ended by a queue."""
    driver = Driver()
    while driver.flow.cwnd < 60 * MSS:
        driver.round()
    while driver.flow.slow_start:
        driver.round(queue=0.06)
    return driver


def test_it_goes_down_to_two_segments_for_two_round_trips_and_back() -> None:
    """LEDBAT++ section 4.4, two round trips after slow start."""
    driver = opened()
    windows = []
    for _ in range(14):
        driver.round()
        windows.append(driver.flow.cwnd)
    low = windows.index(2 * MSS)
    assert low >= 1
    assert windows[low + 1] == 2 * MSS
    assert max(windows[low:]) >= 0.9 * windows[low - 1]


def test_slowdowns_are_a_tenth_of_the_time() -> None:
    """LEDBAT++ section 4.4: the next one comes after nine times the duration of the last."""
    driver = opened()
    slow = total = 0
    for _ in range(500):
        driver.round(queue=0.03)
        total += 1
        slow += driver.flow.cwnd == 2 * MSS or driver.flow.slow_start
    assert 0.03 < slow / total < 0.12


def test_a_timeout_clears_them() -> None:
    """As in LEDBAT++: what was scheduled before is forgotten, and slow start comes first."""
    driver = opened()
    driver.flow.on_sent(sent=MSS, now=driver.now)
    deadline = driver.flow.get_timer()
    assert deadline is not None
    driver.flow.on_timeout(deadline)
    driver.flow.on_loss(lost=driver.flow.flightsize, will_retransmit=False, now=deadline)
    driver.now = deadline
    assert driver.flow.cwnd == MSS
    assert driver.flow.slow_start
    driver.round()
    assert driver.flow.cwnd == pytest.approx(2 * MSS, abs=MSS)
