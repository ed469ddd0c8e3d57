"""What ICMP says to a UDP socket that is not connected: the kernel's error queue (Linux)."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys

import attrs

from interop.udp import Address

# From <linux/in.h>, <linux/in6.h>: the socket module names none of them in Python 3.11.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IP_MTU, _IPV6_MTU = 14, 24
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_PMTUDISC_PROBE = 3
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Octets of the IP and UDP headers."""
_ERROR = struct.Struct("=IBBBBII")
"""struct sock_extended_err."""
_BATCH = 64
"""Errors read at once; the rest at the next opportunity."""


@attrs.frozen
class NetworkError:
    """The errno that an ICMP message stands for, and the address that our datagram was sent to."""

    number: int
    address: Address


def forbid_fragments(sock: socket.socket) -> None:
    """Set the don't-fragment bit and leave the size to us, whatever the kernel believes of the path."""
    if sys.platform != "linux":
        return
    _try(sock, socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    if sock.family == socket.AF_INET6:
        _try(sock, socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)


def watch_errors(sock: socket.socket, on: bool) -> None:
    """Have the kernel keep errors for `read_errors`, or not. While it does, a pending one fails the next send."""
    if sys.platform != "linux":
        return
    _try(sock, socket.IPPROTO_IP, _IP_RECVERR, int(on))
    if sock.family == socket.AF_INET6:
        _try(sock, socket.IPPROTO_IPV6, _IPV6_RECVERR, int(on))


def _try(sock: socket.socket, level: int, option: int, value: int) -> None:
    # An old or odd kernel may refuse: we learn the same from silence, later.
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, value)


def read_errors(sock: socket.socket) -> list[NetworkError]:
    """Take what the kernel has kept. To be called while `watch_errors` is on: errors that nobody takes keep the socket
    readable."""
    if sys.platform != "linux":
        return []
    errors = []
    for _ in range(_BATCH):
        try:
            _, ancillary, _, address = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            break
        for level, kind, data in ancillary:
            if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                errors.append(NetworkError(_ERROR.unpack_from(data)[0], address))
    return errors


def largest_datagram(address: Address) -> int | None:
    """Octets of UDP payload that the first link towards the address carries, and the kernel believes the path does."""
    if sys.platform != "linux":
        return None
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if family == socket.AF_INET6 else (socket.IPPROTO_IP, _IP_MTU)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            return sock.getsockopt(level, option) - _HEADERS[family]
    except OSError:
        return None
