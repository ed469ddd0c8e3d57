"""What the Linux kernel offers beyond plain datagrams: segmentation offload, large buffers, a count of its drops."""

import errno
import socket
import struct
import sys
from collections.abc import Iterable

# From <linux/udp.h> and <asm-generic/socket.h>: the socket module names none of them in Python 3.11.
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
# From <linux/in.h> and <linux/in6.h>; the values are the same for both families.
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_DONT = 0
_PMTUDISC_PROBE = 3
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_RXQ_OVFL = 40

MAX_SEGMENTS = 64
"""Segments in one call: Linux before 6.9 refuses more (UDP_MAX_SEGMENTS), and 64 hold nearly all of the gain."""
MAX_PAYLOAD = 65_507
"""Octets in one call: the largest UDP payload over IPv4, which the segments of a call share."""
MAX_BUFFERS = 1024
"""Buffers in one call: IOV_MAX, beyond which sendmsg answers EMSGSIZE."""

REFUSED = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT})
"""How a kernel or a network card says that it cannot segment."""

ANCILLARY_SIZE = socket.CMSG_SPACE(4) * 2
"""Room for the two control messages that we ask for: the segment size and the count of drops."""

_INT = struct.Struct("=i")
_UINT = struct.Struct("=I")
_UINT16 = struct.Struct("=H")


def call_cost(datagrams: int) -> int:
    """The work of one system call that moved so many datagrams, in calls that move one."""
    return datagrams >> 3 or 1


def can_segment(sock: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT; that it works shows only when a batch has been sent."""
    if sys.platform != "linux":
        return False
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def _set(sock: socket.socket, level: int, option: int, value: int) -> bool:
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def enable_gro(sock: socket.socket) -> bool:
    """Ask for runs of datagrams to be received in one buffer; False when the kernel cannot."""
    return sys.platform == "linux" and _set(sock, SOL_UDP, UDP_GRO, 1)


def enable_drop_count(sock: socket.socket) -> bool:
    """Ask for the count of datagrams that the kernel dropped because the receive buffer was full."""
    return sys.platform == "linux" and _set(sock, socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)


def enlarge_buffers(sock: socket.socket, size: int) -> tuple[int, int]:
    """Ask for `size` octets of receive and send buffer, and return what the kernel granted, in octets.

    Linux reports the double of what it was asked for, because it counts its own bookkeeping in; here the figure is
    halved again so that it compares with `size`.
    """
    granted = []
    for forced, option in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        linux = sys.platform == "linux"
        if not (linux and _set(sock, socket.SOL_SOCKET, forced, size)):
            _set(sock, socket.SOL_SOCKET, option, size)
        granted.append(sock.getsockopt(socket.SOL_SOCKET, option) // (2 if linux else 1))
    return granted[0], granted[1]


def keep_whole(sock: socket.socket, whole: bool) -> bool:
    """Have datagrams leave in one packet, whatever the kernel has heard of the path's MTU, or refused (EMSGSIZE).

    Not `whole`, they leave in fragments where they have to. Returns whether the kernel can do that.
    """
    if sys.platform != "linux":
        return False
    mode = _PMTUDISC_PROBE if whole else _PMTUDISC_DONT
    if sock.family == socket.AF_INET6 and not _set(sock, socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, mode):
        return False
    # On an IPv6 socket, for the IPv4 peers that it may have.
    return _set(sock, socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)


def segment_control(size: int) -> list[tuple[int, int, bytes]]:
    """The control message that has the kernel cut a payload into segments of `size` octets."""
    return [(SOL_UDP, UDP_SEGMENT, _UINT16.pack(size))]


def read_control(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, int | None]:
    """The segment size (0: not coalesced) and the kernel's count of drops, from a receive call's control messages."""
    segment, drops = 0, None
    for level, kind, data in ancillary:
        if level == SOL_UDP and kind == UDP_GRO and len(data) >= _INT.size:
            segment = _INT.unpack_from(data)[0]
        elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= _UINT.size:
            drops = _UINT.unpack_from(data)[0]
    return segment, drops
