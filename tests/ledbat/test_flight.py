"""flightsize and the congestion timer (RFC 6817 section 2.4.2, RFC 6298 section 5)."""

from ledbat.flight import Flight


def test_the_timer_starts_with_the_first_data_in_flight() -> None:
    """RFC 6298 section 5 (5.1): if the timer is not running, start it running."""
    flight = Flight()
    assert flight.deadline is None
    flight.sent(100, 10.0, 1.0)
    flight.sent(100, 10.5, 1.0)
    assert (flight.flightsize, flight.deadline) == (200, 11.0)


def test_sending_nothing_starts_no_timer() -> None:
    """RFC 6298 section 5 (5.1): every time a packet containing data is sent."""
    flight = Flight()
    flight.sent(0, 10.0, 1.0)
    assert flight.deadline is None


def test_an_acknowledgement_of_new_data_restarts_the_timer() -> None:
    """RFC 6298 section 5 (5.3)."""
    flight = Flight()
    flight.sent(200, 10.0, 1.0)
    flight.acknowledged(100, 10.9, 2.0)
    assert (flight.flightsize, flight.deadline) == (100, 12.9)


def test_the_timer_is_off_when_all_is_acknowledged() -> None:
    """RFC 6298 section 5 (5.2)."""
    flight = Flight()
    flight.sent(200, 10.0, 1.0)
    flight.acknowledged(200, 10.9, 1.0)
    assert (flight.flightsize, flight.deadline) == (0, None)


def test_the_timer_is_off_when_all_is_written_off() -> None:
    """RFC 6817 section 2.4.2: data that is not to be retransmitted leaves flightsize."""
    flight = Flight()
    flight.sent(200, 10.0, 1.0)
    flight.written_off(150)
    assert (flight.flightsize, flight.deadline) == (50, 11.0)
    flight.written_off(50)
    assert (flight.flightsize, flight.deadline) == (0, None)
