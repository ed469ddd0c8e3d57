"""LEDBAT congestion control (RFC 6817), sans-IO: time is an argument, and there is no socket in sight.

A transport tells a controller what it sent, what was acknowledged with which one-way delays, and what was lost; the
controller says how much may be in flight. `Ledbat` is RFC 6817, `LedbatPlusPlus` its successor, `ReceiverWindow` runs
either at the receiver; `NewReno` and `Cubic` are what they are measured against. See README.md beside this file.
"""

from ledbat.base_delay import BaseDelay
from ledbat.cubic import Cubic
from ledbat.errors import LedbatError, ParameterError, StateError
from ledbat.filters import EwmaFilter, MinFilter, NullFilter
from ledbat.plusplus import LedbatPlusPlus
from ledbat.ports import DelayFilter
from ledbat.queuing_delay import QueuingDelay
from ledbat.receiver import ReceiverController, ReceiverWindow, RetransmissionDetector, TimestampClock
from ledbat.reno import NewReno
from ledbat.rfc6817 import Ledbat
from ledbat.rtt import RttEstimator
from ledbat.slowing import SlowingLedbat
from ledbat.snapshot import Snapshot

__all__ = [
    "BaseDelay",
    "Cubic",
    "DelayFilter",
    "EwmaFilter",
    "Ledbat",
    "LedbatError",
    "LedbatPlusPlus",
    "MinFilter",
    "NewReno",
    "NullFilter",
    "ParameterError",
    "QueuingDelay",
    "ReceiverController",
    "ReceiverWindow",
    "RetransmissionDetector",
    "RttEstimator",
    "SlowingLedbat",
    "Snapshot",
    "StateError",
    "TimestampClock",
]
