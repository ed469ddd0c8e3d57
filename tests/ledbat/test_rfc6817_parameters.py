"""The parameters of the RFC 6817 controller: what the RFC forbids is refused, and the section named."""

import math

import pytest

from ledbat import Ledbat, LedbatError, ParameterError, StateError

MSS = 1000


@pytest.mark.parametrize("target", [0.1000001, 0.15, 100.0, 0.0, -0.1, math.nan, math.inf])
def test_a_target_above_100_ms_is_refused(target: float) -> None:
    """RFC 6817 section 2.5: TARGET MUST be 100 milliseconds or less."""
    with pytest.raises(ParameterError, match=r"^TARGET is .* 0\.1 s \(RFC 6817 section 2\.5\)$"):
        Ledbat(mss=MSS, target=target)


@pytest.mark.parametrize("target", [0.1, 0.06, 0.000_001])
def test_a_target_of_100_ms_or_less_is_accepted(target: float) -> None:
    """RFC 6817 section 2.5."""
    assert Ledbat(mss=MSS, target=target).cwnd == 2 * MSS


@pytest.mark.parametrize("allowed_increase", [0, -1, math.nan, math.inf])
def test_an_allowed_increase_that_is_not_positive_is_refused(allowed_increase: float) -> None:
    """RFC 6817 section 2.5: ALLOWED_INCREASE SHOULD be 1, and it MUST be greater than 0."""
    with pytest.raises(ParameterError, match=r"^ALLOWED_INCREASE is .*section 2\.5"):
        Ledbat(mss=MSS, allowed_increase=allowed_increase)


@pytest.mark.parametrize("gain", [1.0000001, 2, 0, -1, math.nan, math.inf])
def test_a_gain_above_1_is_refused(gain: float) -> None:
    """RFC 6817 section 2.5: GAIN MUST be set to 1 or less."""
    with pytest.raises(ParameterError, match=r"^GAIN is .*section 2\.5"):
        Ledbat(mss=MSS, gain=gain)


@pytest.mark.parametrize(("gain", "decrease_gain"), [(1.0, 0.99), (0.5, 0.4), (1.0, math.nan), (1.0, math.inf)])
def test_a_gain_for_decrease_below_the_gain_is_refused(gain: float, decrease_gain: float) -> None:
    """RFC 6817 section 2.5: implementations MAY use a higher GAIN for cwnd decrease than for the increase."""
    with pytest.raises(ParameterError, match=r"^the GAIN for decrease is .*section 2\.5"):
        Ledbat(mss=MSS, gain=gain, decrease_gain=decrease_gain)


@pytest.mark.parametrize(("mss", "allowed"), [(536, 4), (1095, 4), (1096, 3), (2190, 3), (2191, 2), (65535, 2)])
def test_an_initial_window_larger_than_that_of_tcp_is_refused(mss: int, allowed: int) -> None:
    """RFC 6817 section 2.5 and RFC 5681 section 3.1: INIT_CWND MUST be no larger than the value specified for TCP."""
    assert Ledbat(mss=mss, init_cwnd=allowed).cwnd == allowed * mss
    with pytest.raises(ParameterError, match=rf"^INIT_CWND is {allowed + 1}; .*2\.5, RFC 5681 section 3\.1"):
        Ledbat(mss=mss, init_cwnd=allowed + 1)


@pytest.mark.parametrize("min_cwnd", [3, 32, 0, -1])
def test_a_smallest_window_larger_than_that_of_tcp_is_refused(min_cwnd: int) -> None:
    """RFC 6817 section 2.5: MIN_CWND MUST be no larger than TCP's value, 2 segments (RFC 5681 eq. 4)."""
    with pytest.raises(ParameterError, match=r"^MIN_CWND is .*RFC 6817 section 2\.5"):
        Ledbat(mss=MSS, min_cwnd=min_cwnd)


def test_a_history_without_minutes_is_refused() -> None:
    """RFC 6817 section 2.5: the size of the base_delays list."""
    with pytest.raises(ParameterError, match=r"^BASE_HISTORY is 0; .*section 2\.5"):
        Ledbat(mss=MSS, base_history=0)


@pytest.mark.parametrize("max_cto", [59.9, 1.0, math.nan])
def test_a_maximal_timeout_below_60_seconds_is_refused(max_cto: float) -> None:
    """RFC 6817 section 2.4.2: A maximum value MAY be placed on the CTO, and if placed, it MUST be at least 60 s."""
    with pytest.raises(ParameterError, match=r"^the maximum timeout is .*RFC 6817 section 2\.4\.2"):
        Ledbat(mss=MSS, max_cto=max_cto)


@pytest.mark.parametrize("mss", [0, -1, 65536])
def test_a_segment_size_that_no_segment_has_is_refused(mss: int) -> None:
    """RFC 6817 section 2.2."""
    with pytest.raises(ParameterError, match=r"^MSS is .*section 2\.2"):
        Ledbat(mss=mss)


def test_the_smallest_values_are_accepted() -> None:
    """RFC 6817 section 2.5: slight deviations may be warranted; a gain for decrease may equal the other."""
    flow = Ledbat(mss=1, init_cwnd=1, min_cwnd=1, base_history=1, gain=0.5, decrease_gain=0.5)
    assert flow.cwnd == 1


def test_an_unknown_slow_start_is_refused() -> None:
    """RFC 6817 section 2.2."""
    with pytest.raises(ParameterError, match=r"^slow_start is 'fast'; it must be \"off\" or \"rfc5681\""):
        Ledbat(mss=MSS, slow_start="fast")  # type: ignore[arg-type]


def test_a_parameter_error_is_a_value_error_of_this_package() -> None:
    """A caller may catch either."""
    assert issubclass(ParameterError, LedbatError)
    assert issubclass(ParameterError, ValueError)
    assert issubclass(StateError, LedbatError)
