"""LEDBAT congestion control (RFC 6817), sans-IO: time is an argument, and there is no socket in sight.

A transport tells a `Ledbat` what it sent, what was acknowledged with which one-way delays, and what was lost; the
controller says how much may be in flight. See README.md beside this file.
"""

from ledbat.base_delay import BaseDelay
from ledbat.errors import LedbatError, ParameterError, StateError
from ledbat.filters import EwmaFilter, MinFilter, NullFilter
from ledbat.ports import DelayFilter
from ledbat.queuing_delay import QueuingDelay
from ledbat.rfc6817 import Ledbat
from ledbat.rtt import RttEstimator
from ledbat.snapshot import Snapshot

__all__ = [
    "BaseDelay",
    "DelayFilter",
    "EwmaFilter",
    "Ledbat",
    "LedbatError",
    "MinFilter",
    "NullFilter",
    "ParameterError",
    "QueuingDelay",
    "RttEstimator",
    "Snapshot",
    "StateError",
]
