"""The round-trip time and the timeout made of it (RFC 6298), which is the CTO of RFC 6817 section 2.4.2."""

import math

from ledbat.errors import ParameterError

ALPHA = 1 / 8
"""The weight of a new sample in SRTT (RFC 6298 section 2.3)."""
BETA = 1 / 4
"""The weight of a new deviation in RTTVAR (RFC 6298 section 2.3)."""
K = 4
"""RTTVARs in the timeout (RFC 6298 section 2.2)."""
GRANULARITY = 0.001
"""G, the granularity of the clock, in seconds: event loops keep time to about a millisecond."""
MIN_RTO = 1.0
"""The least timeout in seconds, and the one before the first sample (RFC 6298 sections 2.1 and 2.4)."""
MAX_RTO = 60.0
"""The least maximum that may be placed on the timeout, in seconds (RFC 6298 section 2.5, RFC 6817 section 2.4.2)."""


class RttEstimator:
    """SRTT, RTTVAR and RTO of one flow.

    By Karn's algorithm the caller gives no sample made with data that was sent twice (RFC 6298 section 3).
    Raises ParameterError for a max_rto below 60 seconds.
    """

    __slots__ = ("_max_rto", "latest", "rto", "rttvar", "srtt")

    srtt: float | None
    """The smoothed round-trip time in seconds, None before the first sample."""
    rttvar: float
    """The round-trip time variation in seconds."""
    rto: float
    """The timeout in seconds, back-off included."""
    latest: float | None
    """The last sample in seconds."""

    def __init__(self, max_rto: float = MAX_RTO) -> None:
        if not max_rto >= MAX_RTO:
            raise ParameterError(
                f"the maximum timeout is {max_rto} s; it must be at least 60 s (RFC 6817 section 2.4.2, RFC 6298 2.5)"
            )
        self._max_rto = max_rto
        self.srtt = None
        self.rttvar = 0.0
        self.rto = MIN_RTO
        self.latest = None

    def update(self, rtt: float) -> None:
        """Take one more sample of `rtt` seconds; this also ends the back-off (RFC 6298 section 5).

        A negative or infinite time is no sample and changes nothing.
        """
        if not 0.0 <= rtt < math.inf:
            return
        self.latest = rtt
        srtt = self.srtt
        if srtt is None:
            self.srtt = srtt = rtt
            self.rttvar = rttvar = rtt / 2
        else:
            # RTTVAR first, with the SRTT from before this sample: "MUST be computed in the above order" (2.3).
            deviation = srtt - rtt if srtt > rtt else rtt - srtt
            self.rttvar = rttvar = self.rttvar + BETA * (deviation - self.rttvar)
            self.srtt = srtt = srtt + ALPHA * (rtt - srtt)
        variance = K * rttvar
        rto = srtt + (variance if variance > GRANULARITY else GRANULARITY)
        if rto < MIN_RTO:
            rto = MIN_RTO
        self.rto = rto if rto < self._max_rto else self._max_rto

    def back_off(self) -> None:
        """The timeout expired: RTO <- RTO * 2, up to the maximum (RFC 6298 section 5.5)."""
        self.rto = min(self.rto * 2, self._max_rto)
