"""What the text of an element or attribute says: the types of XML Schema as RFC 6940 section 11.1 uses them."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime

from reload.errors import DecodeError

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:[Zz]|[+-]00:00)",
    re.ASCII,
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def integer(least: int, most: int) -> Callable[[str], int]:
    """Reads an integer within these bounds."""

    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
            raise DecodeError(f"{text!r:.40} is no integer from {least} to {most}")
        return int(text)

    return read


def boolean(text: str) -> bool:
    """true or 1, false or 0. Raises DecodeError."""
    found = _BOOLEANS.get(text)
    if found is None:
        raise DecodeError(f"{text!r:.40} is neither true, 1, false nor 0")
    return found


def string(text: str) -> str:
    """Text that is not empty. Raises DecodeError."""
    if not text:
        raise DecodeError("there is nothing in it")
    return text


def octets(text: str) -> bytes:
    """base64, with white space anywhere. Raises DecodeError."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"{text!r:.40} is not base64") from exc


def node_id(text: str) -> bytes:
    """A Node-ID in hexadecimal, of whatever length. Raises DecodeError."""
    digits = text.removeprefix("0x")
    if not re.fullmatch(r"([0-9A-Fa-f]{2}){1,64}", digits):
        raise DecodeError(f"{text!r:.40} is no Node-ID in hexadecimal")
    return bytes.fromhex(digits)


def https_url(text: str) -> str:
    """A URL that begins with https://. Raises DecodeError."""
    if not re.fullmatch(r"https://[!-~]+", text, re.IGNORECASE):
        raise DecodeError(f"{text!r:.80} is no https URL")
    return text


def ip_address(text: str) -> str:
    """An address of IPv4 or IPv6, as it is written canonically. Raises DecodeError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as exc:
        raise DecodeError(f"{text!r:.60} is no IP address") from exc


def utc(text: str) -> float:
    """A time of RFC 3339 in UTC, as Unix time. Raises DecodeError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise DecodeError(f"{text!r:.40} is no time of RFC 3339 in UTC")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    try:
        # A leap second has no Unix time of its own.
        whole = datetime(year, month, day, hour, minute, min(second, 59) if second <= 60 else second, tzinfo=UTC)
    except ValueError as exc:
        raise DecodeError(f"{text!r:.40}: {exc}") from exc
    return whole.timestamp() + float(match[7] or 0)


def utc_text(time: float) -> str:
    """A Unix time as `utc` reads it, in whole seconds."""
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
