"""The controllers under test, by the letters that the tables use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from interop.experiments._flow import MSS, Controller
from ledbat import Cubic, Ledbat, LedbatPlusPlus, NewReno, SlowingLedbat

CONTROLLERS: Mapping[str, Callable[[], Controller]] = MappingProxyType(
    {
        "R": lambda: Ledbat(mss=MSS),
        "R0": lambda: Ledbat(mss=MSS, slow_start="off"),
        "RS": lambda: SlowingLedbat(mss=MSS),
        "P": lambda: LedbatPlusPlus(mss=MSS),
        "A": lambda: LedbatPlusPlus(mss=MSS, delay_source="owd"),
        "Reno": lambda: NewReno(mss=MSS),
        "CUBIC": lambda: Cubic(mss=MSS),
    }
)
LEGEND = (
    "R: RFC 6817 with its defaults (TARGET 100 ms, slow start). R0: the same without slow start. RS: R with slowdowns. "
    "P: LEDBAT++ as drafted, on round-trip times (60 ms). A: LEDBAT++ on one-way delays with the anchored base (60 ms)."
)


def make(name: str) -> Controller:
    """A new controller."""
    return CONTROLLERS[name]()


def target_ms(name: str) -> float:
    """Its TARGET in milliseconds."""
    return 60.0 if name in ("P", "A") else 100.0
