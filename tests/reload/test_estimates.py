"""Estimates of the overlay's size and churn (RFC 7363 section 6), held against overlays made by chance."""

from math import log
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reload.estimates import (
    MAX_RECEIVED,
    Estimates,
    Estimator,
    failure_rate,
    finger_count,
    from_data,
    join_rate,
    neighbor_count,
    network_size,
    stabilization_interval,
    third_quartile,
)
from reload.extensions import SelfTuningData

RING = 1 << 128


def node(number: int) -> bytes:
    return (number % RING).to_bytes(16, "big")


def ring(chance: Random, size: int) -> list[int]:
    return sorted(chance.getrandbits(128) for _ in range(size))


def neighbors(peers: list[int], at: int, count: int) -> tuple[bytes, list[bytes], list[bytes]]:
    """A peer by its place on the ring, its predecessors and its successors."""
    behind = [node(peers[(at - i) % len(peers)]) for i in range(1, count + 1)]
    ahead = [node(peers[(at + i) % len(peers)]) for i in range(1, count + 1)]
    return node(peers[at]), behind, ahead


# Section 6.1.
@pytest.mark.parametrize(("size", "count"), [(100, 7), (500, 9), (2000, 11), (20000, 15)])
def test_the_size_is_right_by_15_percent_on_the_whole(size: int, count: int) -> None:
    chance = Random(size)
    peers = ring(chance, size)
    found = [network_size(*neighbors(peers, chance.randrange(size), count)) for _ in range(400)]
    assert abs(median(found) / size - 1) < 0.15


def test_evenly_spaced_peers_give_the_size_exactly() -> None:
    peers = [i * (RING // 1024) for i in range(1024)]
    assert network_size(*neighbors(peers, 3, 10)) == 1024


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_lists_that_meet_show_the_whole_ring(size: int) -> None:
    peers = ring(Random(size), size)
    assert network_size(*neighbors(peers, 0, min(3, size - 1))) == size


def test_a_peer_alone_is_an_overlay_of_one() -> None:
    assert network_size(node(7), [], []) == 1


def test_neighbors_on_one_side_do() -> None:
    assert network_size(node(0), [], [node(RING // 64), node(RING // 32)]) == 64
    assert network_size(node(0), [node(-RING // 64)], []) == 64


def test_fingers_that_fill_a_list_up_are_no_neighbors() -> None:
    """Ten on each side, evenly spaced in an overlay of 4096, and behind them peers at twice the distance each."""
    near, far = [i * (RING // 4096) for i in range(1, 11)], [(RING // 4096) << i for i in range(4, 12)]
    size = network_size(node(0), [node(-i) for i in near], list(map(node, near + far)))
    assert abs(size / 4096 - 1) < 0.3
    assert network_size(node(0), [node(-i) for i in near], list(map(node, near))) == 4096


def test_the_size_is_no_less_than_the_peers_known_and_no_more_than_fits_on_the_wire() -> None:
    assert network_size(node(0), [], [node(RING - 2), node(RING - 1)]) == 3
    assert network_size(node(0), [node(RING - 1)], [node(1)]) == 0xFFFFFFFF


# Section 6.2.
@pytest.mark.parametrize(
    ("size", "fingers", "in_list"),
    [
        (1, 16, 3),
        (2, 16, 3),
        (8, 16, 3),
        (9, 16, 4),
        (500, 16, 9),
        (2000, 16, 11),
        (65536, 16, 16),
        (65537, 17, 17),
        (100000, 17, 17),
    ],
)
def test_the_tables_have_log2_of_the_size_with_a_floor(size: int, fingers: int, in_list: int) -> None:
    assert finger_count(size) == fingers
    assert neighbor_count(size) == in_list


# Section 6.3.
def failures(chance: Random, rate: float, duration: float) -> list[float]:
    """A Poisson process from 0."""
    times, at = [0.0], chance.expovariate(rate)
    while at < duration:
        times.append(at)
        at += chance.expovariate(rate)
    return times


@pytest.mark.parametrize("session", [600.0, 3600.0, 86400.0])
@pytest.mark.parametrize("peers", [24, 32, 40])
def test_the_failure_rate_is_right_by_17_percent_on_the_whole(peers: int, session: float) -> None:
    chance = Random(peers)
    history = -(-peers // 4)
    found = []
    for _ in range(500):
        times = failures(chance, peers / session, 5 * session)
        found.append(failure_rate(times[-(history + 1) :], peers, history, 5 * session))
    assert abs(median(found) * session - 1) < 0.17
    assert abs(sum(found) / len(found) * session - 1) < 0.17


def test_a_full_history_counts_from_its_first_to_its_last_failure() -> None:
    assert failure_rate([100.0, 110.0, 130.0, 180.0], 10, 3, 181.0) == pytest.approx(3 / (10 * 80))


def test_a_history_not_full_yet_counts_a_failure_now() -> None:
    assert failure_rate([100.0], 10, 3, 150.0) == pytest.approx(1 / (10 * 50))
    assert failure_rate([100.0, 110.0, 130.0], 10, 3, 200.0) == pytest.approx(3 / (10 * 100))


def test_the_failure_rate_falls_when_failures_cease() -> None:
    times = [0.0, 1.0, 2.0, 3.0]
    assert failure_rate(times, 10, 3, 4.0) > failure_rate(times, 10, 3, 1000.0) == pytest.approx(4 / (10 * 1000))


def test_failures_at_once_and_empty_tables_divide_by_nothing() -> None:
    assert failure_rate([5.0], 0, 1, 5.0) == 1
    assert failure_rate([5.0, 5.0], 1, 1, 5.0) == 1


# Section 6.4.
def test_the_join_rate_is_right_by_22_percent_for_the_long_tailed_sessions_of_peers() -> None:
    """Lomax sessions, shape 2.5, mean one hour: in equilibrium ages are Lomax, shape 1.5."""
    chance, mean, size = Random(4), 3600.0, 500
    scale = mean * 1.5
    found = []
    for _ in range(400):
        ages = [scale * ((1 - chance.random()) ** (-1 / 1.5) - 1) for _ in range(34)]
        found.append(join_rate(size, ages))
    assert abs(median(found) / (size / mean) - 1) < 0.22


def test_the_join_rate_is_a_median_age_and_so_1_44_times_too_high_for_poisson_failures() -> None:
    """N through the median of ages that are exponential is N U / ln 2, where N U peers join: the RFC's own formula."""
    chance, mean, size = Random(5), 3600.0, 500
    found = [join_rate(size, [chance.expovariate(1 / mean) for _ in range(34)]) for _ in range(400)]
    assert abs(median(found) / (size / mean) * log(2) - 1) < 0.05


def test_the_age_in_the_middle_counts() -> None:
    assert join_rate(100, [30.0, 10.0, 20.0]) == 100 / 20
    assert join_rate(100, [40.0, 30.0, 10.0, 20.0]) == 100 / 30
    assert join_rate(100, [10.0]) == 10


def test_without_ages_nobody_joins_and_an_age_is_a_second_at_least() -> None:
    assert join_rate(100, []) == 0
    assert join_rate(100, [0.0]) == 100


# Section 6.5.
def test_rates_are_shared_in_24_hours_rounded_up() -> None:
    data = Estimates(1000.2, 0.123, 1 / 86400 / 2).to_data()
    assert data == SelfTuningData(network_size=1001, join_rate=10628, leave_rate=1)
    assert Estimates(1.0, 0.0, 0.0).to_data() == SelfTuningData(network_size=1, join_rate=0, leave_rate=0)


def test_what_does_not_fit_on_the_wire_is_the_most_that_does() -> None:
    assert Estimates(1e30, 1e30, 1e30).to_data() == SelfTuningData(*[0xFFFFFFFF] * 3)


def test_shared_rates_are_read_back_and_no_overlay_is_empty() -> None:
    assert from_data(SelfTuningData(0, 86400, 43200)) == Estimates(1, 1.0, 0.5)


@pytest.mark.parametrize(
    ("number", "rank"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (9, 7), (10, 8)]
)
def test_the_third_quartile_is_the_value_of_the_nearest_rank(number: int, rank: int) -> None:
    assert third_quartile(range(number, 0, -1)) == rank


# Section 6.6.
@pytest.mark.parametrize(
    ("size", "every", "seconds"),
    [(500, 30.0, 93), (500, 15.0, 46.6), (2000, 5.0, 41.6)],
)
def test_the_interval_is_that_of_the_examples(size: int, every: float, seconds: float) -> None:
    """Section 3.2: one peer joins and one leaves every 30 s; twice as many; six times, and 2000 peers."""
    estimates = Estimates(size, 1 / every, 1 / every / size)
    assert stabilization_interval(estimates, 3600) == pytest.approx(seconds, rel=0.01)


def test_joins_alone_shorten_the_interval_as_well() -> None:
    assert stabilization_interval(Estimates(1024, 0.5, 0.0), 3600) == pytest.approx(1024 / 50)
    assert stabilization_interval(Estimates(1024, 0.25, 1e-9), 3600) == pytest.approx(1024 / 25)


def test_the_interval_is_15_seconds_at_least_and_the_longest_at_most() -> None:
    assert stabilization_interval(Estimates(1024, 1e6, 1.0), 3600) == 15
    assert stabilization_interval(Estimates(1024, 0.0, 0.0), 3600) == 3600
    assert stabilization_interval(Estimates(1.0, 0.0, 0.001), 3600) == 500


# The estimator.
AGES = [100.0] * 16


def recalculate(estimator: Estimator, now: float, ages: list[float] = AGES) -> Estimates:
    estimator.estimate(node(0), [node(-1 << 120)], [node(1 << 120)], ages, now)
    return estimator.take_in()


def test_the_estimator_has_what_the_formulas_give() -> None:
    found = recalculate(Estimator(0.0), 1000.0)
    assert found == Estimates(256, pytest.approx(256 / 100), pytest.approx(1 / (16 * 1000)))  # type: ignore[arg-type]


def test_the_history_is_a_quarter_of_the_routing_table() -> None:
    estimator = Estimator(0.0)
    for at in (10.0, 500.0, 600.0, 700.0, 800.0, 900.0):
        estimator.on_failure(at)
    assert recalculate(estimator, 901.0).failure_rate == pytest.approx(4 / (16 * 400))


def test_a_long_history_of_failures_takes_no_memory() -> None:
    estimator = Estimator(0.0)
    for at in range(10_000):
        estimator.on_failure(float(at))
    assert recalculate(estimator, 10_000.0, [100.0] * 400).failure_rate == pytest.approx(49 / (400 * 49))


def test_shared_estimates_count_for_one_interval_and_are_not_shared_again() -> None:
    estimator = Estimator(0.0)
    alone = recalculate(estimator, 1000.0)
    for i in range(1, 4):
        estimator.on_estimates(node(i), SelfTuningData(100000, 0, 0))
    assert recalculate(estimator, 1000.0).network_size == 100000
    assert estimator.own.network_size == alone.network_size == 256
    assert recalculate(estimator, 1000.0) == alone


def test_a_quarter_of_liars_changes_nothing_however_often_they_speak() -> None:
    estimator = Estimator(0.0)
    for i in range(8):
        estimator.on_estimates(node(i), SelfTuningData(250, 10, 10))
    for _ in range(100):
        for liar in (9, 10):
            estimator.on_estimates(node(liar), SelfTuningData(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
    assert recalculate(estimator, 1000.0).network_size <= 256


def test_estimates_of_very_many_are_not_kept() -> None:
    estimator = Estimator(0.0)
    for i in range(MAX_RECEIVED):
        estimator.on_estimates(node(i), SelfTuningData(8, 0, 0))
    for i in range(1000, 2000):
        estimator.on_estimates(node(i), SelfTuningData(1 << 30, 0, 0))
    assert recalculate(estimator, 1.0).network_size == 8


@given(
    st.lists(st.integers(1, RING - 1), max_size=20, unique=True),
    st.lists(st.floats(-1e9, 1e9), max_size=40),
    st.lists(st.builds(SelfTuningData, *[st.integers(0, 0xFFFFFFFF)] * 3), max_size=10),
    st.lists(st.floats(0, 1e6), max_size=60),
)
def test_whatever_is_heard_the_interval_and_the_tables_have_their_bounds(
    peers: list[int], ages: list[float], shared: list[SelfTuningData], fails: list[float]
) -> None:
    estimator = Estimator(0.0)
    for i, data in enumerate(shared):
        estimator.on_estimates(node(i), data)
    for at in sorted(fails):
        estimator.on_failure(at)
    ahead = list(map(node, sorted(peers)))
    estimator.estimate(node(0), ahead[:-4:-1], ahead[:3], ages, 1e6)
    estimates = estimator.take_in()
    assert 15 <= stabilization_interval(estimates, 3600) <= 3600
    assert 3 <= neighbor_count(estimates.network_size) <= 32
    assert 16 <= finger_count(estimates.network_size) <= 32
