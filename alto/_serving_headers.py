"""The header fields that a server decides by: lists, codings, validators, dates (RFC 9110)."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from alto.http import Headers

_CODING = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_ENTITY_TAG = re.compile(r'[ \t,]*((?:W/)?)("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')
_IMF_FIXDATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_RFC_850 = re.compile(r"[A-Z][a-z]{5,8}, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT")
_ASCTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_SHORT = 256
"""Characters of a field that is worth remembering how it was read: what clients send is shorter and always the same."""


def combined(headers: Headers, name: str) -> str | None:
    """Every line of the field `name` as one list (section 5.3); None when there is none. `name` is in lower case."""
    lines = [value for key, value in headers if key.lower() == name]
    return ", ".join(lines) if lines else None


def codings(accept_encoding: str | None) -> tuple[bool, bool]:
    """Whether gzip is what the client prefers, and whether it takes a body without coding (section 12.5.3)."""
    if accept_encoding is None:
        return False, True
    return (_read_codings if len(accept_encoding) <= _SHORT else _read_codings.__wrapped__)(accept_encoding)


@lru_cache(maxsize=64)
def _read_codings(field: str) -> tuple[bool, bool]:
    weights: dict[str, float] = {}
    for part in field.split(","):
        match = _CODING.fullmatch(part)
        if match is not None:
            name = match[1].lower()
            weights[name.removeprefix("x-")] = float(match[2]) if match[2] is not None else 1.0
    rest = weights.get("*")
    gzip = weights.get("gzip", rest if rest is not None else 0.0)
    # Whoever names gzip wants it, unless identity is named with more weight; without a word identity will do.
    identity = weights.get("identity", 0.001 if rest != 0 else 0.0)
    return 0 < gzip >= identity, identity > 0


def names_tag(field: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, has the strong tag `etag`, by weak or strong comparison (8.8.3.2)."""
    if field.strip() == "*":
        return True
    at = 0
    while (match := _ENTITY_TAG.match(field, at)) is not None:
        if match[2] == etag and (weak or not match[1]):
            return True
        at = match.end()
    return False


def http_date(wall: float) -> str:
    """A Unix time as an IMF-fixdate (section 5.6.7)."""
    return _date(int(wall))


@lru_cache(maxsize=64)
def _date(second: int) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return f"{_DAYS[at.weekday()]}, {at:%d} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT"


def read_http_date(text: str, now: float) -> float | None:
    """The Unix time of a date in any of the three forms; None for what is none. `now` places years of two digits."""
    if match := _IMF_FIXDATE.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _ASCTIME.fullmatch(text):
        month, day, *clock, year = match.groups()
    elif match := _RFC_850.fullmatch(text):
        day, month, year, *clock = match.groups()
        this_year = datetime.fromtimestamp(now, UTC).year
        full = this_year - this_year % 100 + int(year)
        # More than 50 years ahead is the most recent year in the past with the same last digits.
        year = str(full - 100 if full > this_year + 50 else full)
    else:
        return None
    hour, minute, second = (int(part) for part in clock)
    try:
        number = _MONTHS.index(month) + 1
        return datetime(int(year), number, int(day), hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except ValueError:
        return None
