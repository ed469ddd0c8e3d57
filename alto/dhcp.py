"""The domain name that DHCP gives a host for finding services of its access network (RFC 5986, RFC 2132).

What is read are the options of a DHCP message as they came, from whatever DHCP client the host runs.
"""

import re

from alto.errors import DecodeError

OPTION_V4_ACCESS_DOMAIN = 213
OPTION_V4_DOMAIN_NAME = 15
OPTION_V6_ACCESS_DOMAIN = 57

_MAGIC_COOKIE = bytes((99, 130, 83, 99))
_PAD, _END = 0, 255
# What stands in host names, and the underscore of service labels. Anything else in a name that DHCP gave would go
# into a DNS question and on to a terminal.
_LABEL = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def parse_dhcpv4_options(data: bytes) -> dict[int, bytes]:
    """The options of a DHCPv4 message, with or without the magic cookie before them.

    An option that is there several times is one, cut in pieces (RFC 3396). Raises DecodeError for one cut short.
    """
    options: dict[int, bytes] = {}
    at = len(_MAGIC_COOKIE) if data.startswith(_MAGIC_COOKIE) else 0
    while at < len(data) and data[at] != _END:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        value = data[at + 2 : at + 2 + length]
        if at + 2 > len(data) or len(value) < length:
            raise DecodeError(f"DHCPv4: option {code} at {at} is cut short")
        options[code] = options.get(code, b"") + value
        at += 2 + length
    return options


def parse_dhcpv6_options(data: bytes) -> dict[int, bytes]:
    """The options of a DHCPv6 message (RFC 8415 section 21.1); the first of each code counts.

    Raises DecodeError for one cut short.
    """
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        code, length = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        value = data[at + 4 : at + 4 + length]
        if at + 4 > len(data) or len(value) < length:
            raise DecodeError(f"DHCPv6: option {code} at {at} is cut short")
        options.setdefault(code, value)
        at += 4 + length
    return options


def access_domain_v4(data: bytes) -> str | None:
    """The domain of option 213, otherwise of option 15 (RFC 7286 section 3.1.2); None where neither is there.

    A malformed option 213 counts as none as long as there is an option 15. Raises DecodeError for malformed octets.
    """
    options = parse_dhcpv4_options(data)
    fallback = options.get(OPTION_V4_DOMAIN_NAME)
    if OPTION_V4_ACCESS_DOMAIN in options:
        try:
            return parse_encoded_name(options[OPTION_V4_ACCESS_DOMAIN])
        except DecodeError:
            if fallback is None:
                raise
    return None if fallback is None else parse_text_name(fallback)


def access_domain_v6(data: bytes) -> str | None:
    """The domain of option 57; None where it is not there. Raises DecodeError for malformed octets."""
    value = parse_dhcpv6_options(data).get(OPTION_V6_ACCESS_DOMAIN)
    return None if value is None else parse_encoded_name(value)


def parse_encoded_name(value: bytes) -> str:
    """A domain name in the encoding of RFC 5986: labels with their lengths, a null label at the end, no compression.

    Without the dot at its end. Raises DecodeError.
    """
    if len(value) > 255:
        raise DecodeError("DHCP: a domain name of more than 255 octets")
    labels: list[bytes] = []
    at = 0
    while at < len(value) and value[at] != 0:
        length = value[at]
        if length > 63:
            raise DecodeError(f"DHCP: the label at {at} is longer than 63 octets, or compressed")
        labels.append(value[at + 1 : at + 1 + length])
        at += 1 + length
    if at >= len(value):
        raise DecodeError("DHCP: the domain name has no end")
    if at + 1 != len(value):
        raise DecodeError(f"DHCP: {len(value) - at - 1} octets behind the domain name")
    return _join(labels)


def parse_text_name(value: bytes) -> str:
    """A domain name as text (RFC 2132 section 3.17), whose dot or null octets at the end are dropped.

    Raises DecodeError.
    """
    return _join(value.rstrip(b"\0").removesuffix(b".").split(b"."))


def _join(labels: list[bytes]) -> str:
    if not labels or sum(len(label) + 1 for label in labels) > 254:
        raise DecodeError("DHCP: the domain name is empty, or longer than 255 octets")
    for label in labels:
        if _LABEL.fullmatch(label) is None:
            raise DecodeError(f"DHCP: {label!r:.80} is no label of a domain name")
    return b".".join(labels).decode("ascii")
