"""What a controller tells logs and plots about itself."""

import attrs


@attrs.frozen
class Snapshot:
    """The state of a controller at one moment; None stands for what has not been measured yet."""

    cwnd: int
    """Octets that may be in flight."""
    flightsize: int
    """Octets that are in flight."""
    slow_start: bool
    """Whether the window is growing by slow start."""
    queuing_delay_us: float | None
    """The estimate of the queueing delay, in microseconds."""
    base_delay_us: int | None
    """The base delay in microseconds, a signed 32-bit number whose zero is the offset of the two clocks."""
    srtt: float | None
    """The smoothed round-trip time in seconds."""
    cto: float
    """The congestion timeout in seconds, back-off included."""
    pacing_rate: float | None
    """Octets a second at which to spread the sending."""
