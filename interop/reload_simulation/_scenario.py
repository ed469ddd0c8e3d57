"""What is simulated."""

from __future__ import annotations

from enum import StrEnum

import attrs


class Maintenance(StrEnum):
    """How an overlay keeps its tables in order: CHORD-RELOAD's two ways, and RFC 7363."""

    REACTIVE = "reactive"
    PERIODIC = "periodic"
    SELF_TUNING = "self-tuning"


class Signatures(StrEnum):
    """What peers sign with: null signatures have the size of P-256's, and show nothing."""

    NULL = "null"
    P256 = "p256"
    RSA = "rsa"


@attrs.frozen(kw_only=True)
class Scenario:
    """An overlay, what happens to it, and what is asked of it. Times are seconds, rates are a second.

    The run has phases: the peers arrive, the overlay settles, each peer stores a value, and for `duration` seconds
    there are lookups, Stores and churn. Then the churn ends, and values are counted after `calm` seconds more.
    """

    peers: int = 128
    seed: int = 1
    maintenance: Maintenance = Maintenance.REACTIVE
    signatures: Signatures = Signatures.NULL
    duration: float = 600.0
    lookups: float = 2.0
    """Lookups a second, of all peers together."""
    stores: float = 0.2
    """Stores of new versions a second, of all peers together."""
    mean_session: float | None = None
    """Peers stay for an exponentially distributed time of this mean, and another one comes for each; None: all stay."""
    graceful: float = 0.5
    """The share of departures that say goodbye; the others crash."""
    flash_crowd: int = 0
    """So many peers more come within a minute, in the middle of the time."""
    growth: float = 60.0
    """The seconds in which an overlay that comes into being gets e times as large."""
    loss: float = 0.0
    """The share of the datagrams that are lost on the way."""
    hop_by_hop: bool = False
    """Whether links retransmit and acknowledge by Simple Reliability; otherwise what is lost is lost."""
    update_interval: int = 600
    """chord-update-interval."""
    ping_interval: int = 3600
    """chord-ping-interval."""
    calm: float = 60.0

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for what cannot be."""
        for name in ("lookups", "stores", "duration", "calm"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name):g} is negative")
        for name in ("graceful", "loss"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name):g} is no share of 1")
        if self.peers < 1:
            raise ValueError(f"peers: {self.peers} is too few")
        if self.growth <= 0 or (self.mean_session is not None and self.mean_session <= 0):
            raise ValueError("growth, mean_session: a time of 0 or less")
