"""What is outstanding, and the congestion timeout that watches it (RFC 6817 section 2.4.2, RFC 6298 section 5)."""


class Flight:
    """flightsize, and the time by which an acknowledgement has to come."""

    __slots__ = ("deadline", "flightsize")

    flightsize: int
    """Octets that are outstanding."""
    deadline: float | None
    """When the CTO expires; None when nothing is outstanding."""

    def __init__(self) -> None:
        self.flightsize = 0
        self.deadline = None

    def sent(self, octets: int, now: float, cto: float) -> None:
        """Data was sent: "if the timer is not running, start it" (RFC 6298 section 5.1)."""
        self.flightsize += octets
        if self.deadline is None and self.flightsize:
            self.deadline = now + cto

    def acknowledged(self, octets: int, now: float, cto: float) -> None:
        """New data was acknowledged: restart the timer, or turn it off with nothing left (RFC 6298 5.2 and 5.3)."""
        self.flightsize -= octets
        self.deadline = now + cto if self.flightsize else None

    def written_off(self, octets: int) -> None:
        """Data was lost and will not be sent again: it is no longer outstanding."""
        self.flightsize -= octets
        if not self.flightsize:
            self.deadline = None
