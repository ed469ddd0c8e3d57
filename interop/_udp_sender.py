"""The sending half of the UDP driver: runs of equal datagrams in one call, and what to do when the kernel says no."""

import enum
import errno
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs

from interop._udp_machine import Address, Datagram
from interop._udp_offload import (
    MAX_BUFFERS,
    MAX_PAYLOAD,
    MAX_SEGMENTS,
    REFUSED,
    call_cost,
    keep_whole,
    segment_control,
)

MAX_UNSENT = 4096
"""Datagrams kept while the send buffer is full: no machine is asked for more meanwhile, so this only has to hold one
burst of a machine; 4096 of 1.5 kB are 6 MB."""

_USUAL_SIZE = 1452
"""Octets that one packet holds nearly everywhere: a kernel that looks at its interface alone, and refuses to segment
even into these, cannot segment."""
_LEAST_SIZE = 524
"""The same where it goes by what it has heard of the path: packets of 552 octets at the least (min_pmtu). It hears that
by ICMP, which anybody can forge: one peer's word must not end segmentation for all."""
_ASK_AGAIN = 4096
"""Datagrams that leave by plain calls before the kernel is asked again to segment into so many octets: it forgets what
it heard of a path."""

_REFUSALS = (OSError, OverflowError)
"""What a send raises, a port of 70000 included: addresses come from peers and trackers."""


@attrs.define
class UdpStats:
    """What went through one socket since it was opened. Octets are UDP payload."""

    datagrams_in: int = 0
    octets_in: int = 0
    receive_calls: int = 0
    """System calls that brought something; with UDP_GRO one may bring many datagrams."""
    datagrams_out: int = 0
    octets_out: int = 0
    send_calls: int = 0
    """System calls that took something; with UDP_SEGMENT one may take many datagrams."""
    send_errors: int = 0
    """Datagrams that the kernel refused to send; `errors` says why."""
    receive_errors: int = 0
    """Receive calls that failed, as after an ICMP error; `errors` says why."""
    truncated: int = 0
    """Datagrams larger than the receive buffer, dropped."""
    unsent_dropped: int = 0
    """Datagrams dropped because the queue before a full send buffer was full as well."""
    kernel_drops: int = 0
    """Datagrams that the kernel dropped because the receive buffer was full, as of the last one received (Linux)."""
    errors: dict[str, int] = attrs.Factory(dict)
    """Failed calls by the name of the error, `{"ECONNREFUSED": 2}`: as many entries as there are errno names."""

    def count_error(self, error: Exception) -> None:
        """Count a failed call under the name of its errno, or of its class where it has none."""
        number = error.errno if isinstance(error, OSError) else None
        name = errno.errorcode.get(number or 0, type(error).__name__)
        self.errors[name] = self.errors.get(name, 0) + 1


class Blocked(enum.Enum):
    """Why datagrams wait."""

    NO = enum.auto()
    """None wait."""
    FULL = enum.auto()
    """The send buffer is full: the socket becomes writable when there is room."""
    NO_BUFFERS = enum.auto()
    """The kernel is short of memory (ENOBUFS): the socket counts as writable all the same, so only time helps."""


class DatagramSender:
    """Sends batches through one non-blocking UDP socket and keeps what the kernel has no room for."""

    def __init__(self, sock: socket.socket, stats: UdpStats, *, segmentation: bool, dual_stack: bool = False) -> None:
        self.segmentation = segmentation
        """Whether runs go out with UDP_SEGMENT; False for good once the kernel has refused it."""
        self.blocked = Blocked.NO
        self.cost = 0
        """The work done so far (see `call_cost`)."""
        self.on_too_long: Callable[[Address, int], None] | None = None
        """Told of a datagram that no packet holds, by the address and its octets, after `keep_whole`."""
        self._whole: bool | None = None
        # By mode: into more octets than these the kernel does not segment, which it is not asked to so many times.
        self._longest_segment: dict[bool | None, int] = dict.fromkeys((None, True, False), MAX_PAYLOAD)
        self._not_asked = 0
        self._sock = sock
        self._stats = stats
        self._dual_stack = dual_stack
        self._unsent: deque[tuple[bytes, Address, bool]] = deque()

    @property
    def unsent(self) -> int:
        """Datagrams that wait for room in the send buffer."""
        return len(self._unsent)

    def keep_whole(self, on_too_long: Callable[[Address, int], None]) -> bool:
        """Send in one packet or not at all what does not ask for less. False when the kernel cannot."""
        if not keep_whole(self._sock, True):
            return False
        self._whole = True
        self.on_too_long = on_too_long
        return True

    def _become(self, whole: bool) -> None:
        if self._whole is not None and self._whole is not whole:
            self._whole = whole
            keep_whole(self._sock, whole)

    def send(self, batch: Sequence[tuple[Datagram, Address]], *, whole: bool = True) -> None:
        """Send the batch in order; what finds no room is kept (see `blocked`), what is refused is counted.

        After `keep_whole`, what is not `whole` leaves in fragments where it has to.
        """
        self._become(whole)
        if self._dual_stack:
            batch = [(datagram, _mapped(address)) for datagram, address in batch]
        done, end = 0, len(batch)
        while done < end and self.blocked is Blocked.NO:
            if self.segmentation:
                done += self._send_run(batch, done)
            else:
                done += self._send_one(*batch[done])
        if done < end:
            self._keep(batch[done:], whole)

    def retry(self) -> None:
        """Send what was kept, as far as there is room now."""
        kept, self._unsent = self._unsent, deque()
        self.blocked = Blocked.NO
        while kept and self.blocked is Blocked.NO:
            datagram, address, whole = kept[0]
            self._become(whole)
            if self._send_one(datagram, address):
                kept.popleft()
        self._unsent = kept

    def _keep(self, batch: Iterable[tuple[Datagram, Address]], whole: bool) -> None:
        # Copies: a machine's buffers may be views of a file that is closed before there is room.
        for datagram, address in batch:
            if len(self._unsent) >= MAX_UNSENT:
                self._stats.unsent_dropped += 1
            else:
                self._unsent.append((_joined(datagram), address, whole))

    def _send_one(self, datagram: Datagram, address: Address) -> int:
        """Send by a plain call. Returns 1 when the datagram is done with (sent or refused), 0 when it has to wait."""
        octets = _joined(datagram)
        try:
            self._sock.sendto(octets, address)
        except _REFUSALS as error:
            done = self._failed(error)
            if self._whole and self.on_too_long is not None and getattr(error, "errno", 0) == errno.EMSGSIZE:
                self.on_too_long(address, len(octets))
            return done
        self._count(1, len(octets))
        return 1

    def _send_run(self, batch: Sequence[tuple[Datagram, Address]], start: int) -> int:
        """Send the longest run from `start` that one call may carry; returns how many datagrams are done with."""
        buffers, count, size, total = _run(batch, start)
        if count == 1 or not self._may_segment(size):
            return self._send_one(*batch[start])
        try:
            self._sock.sendmsg(buffers, segment_control(size), 0, batch[start][1])
        except _REFUSALS as error:
            if isinstance(error, OSError) and error.errno in REFUSED:
                return self._send_refused(batch[start : start + count], size)
            if self._failed(error, count):
                return count
            return 0
        self._count(count, total)
        return count

    def _may_segment(self, size: int) -> bool:
        if size > self._longest_segment[self._whole] and self._not_asked:
            self._not_asked -= 1
            return False
        return True

    def _send_refused(self, run: Sequence[tuple[Datagram, Address]], size: int) -> int:
        """Send a refused run of such datagrams one by one.

        The same errors tell of a bad address (a port of 0 gives EINVAL), and addresses come from peers: only when a
        plain call takes what the other did not is segmentation to blame.
        """
        before = self._stats.datagrams_out
        done = 0
        while done < len(run) and self.blocked is Blocked.NO:
            done += self._send_one(*run[done])
        if self._stats.datagrams_out > before:
            # A segment has to fit a packet: what leaves in fragments is refused on every kernel.
            self._longest_segment[self._whole] = size - 1
            self._not_asked = _ASK_AGAIN
            self.segmentation = self.segmentation and size > (_USUAL_SIZE if self._whole else _LEAST_SIZE)
        return done

    def _failed(self, error: Exception, datagrams: int = 1) -> int:
        """Count the error, and return 1 when the datagrams are lost, 0 when they only have to wait."""
        if isinstance(error, BlockingIOError):
            self.blocked = Blocked.FULL
            return 0
        self._stats.count_error(error)
        if isinstance(error, OSError) and error.errno == errno.ENOBUFS:
            self.blocked = Blocked.NO_BUFFERS
            return 0
        self._stats.send_errors += datagrams
        return 1

    def _count(self, datagrams: int, octets: int) -> None:
        stats = self._stats
        stats.send_calls += 1
        stats.datagrams_out += datagrams
        stats.octets_out += octets
        self.cost += call_cost(datagrams)


def _joined(datagram: Datagram) -> bytes:
    # For a single datagram a copy into one buffer is cheaper than a list of buffers to the kernel.
    return datagram if isinstance(datagram, bytes) else b"".join(datagram)


def _run(
    batch: Sequence[tuple[Datagram, Address]], start: int
) -> tuple[list[bytes | bytearray | memoryview], int, int, int]:
    """The buffers, datagrams, segment size and octets of the run from `start`: one address, sizes equal, but the last
    may be shorter."""
    datagram, address = batch[start]
    buffers: list[bytes | bytearray | memoryview] = []
    if isinstance(datagram, tuple):
        buffers += datagram
        size = sum(map(len, datagram))
    else:
        buffers.append(datagram)
        size = len(datagram)
    total = size
    index = start + 1
    stop = min(len(batch), start + MAX_SEGMENTS) if size else index
    while index < stop:
        datagram, to = batch[index]
        parts = datagram if isinstance(datagram, tuple) else (datagram,)
        length = sum(map(len, parts))
        # A segment of no octets would vanish: an empty datagram goes out by a call of its own.
        if not 0 < length <= size or to != address or total + length > MAX_PAYLOAD:
            break
        if len(buffers) + len(parts) > MAX_BUFFERS:
            break
        # A single longer one may be a probe of the path: a router between virtual links drops the whole run with it.
        if length < size and index == start + 1 and size > _USUAL_SIZE:
            break
        buffers += parts
        total += length
        index += 1
        if length < size:
            break
    return buffers, index - start, size, total


def _mapped(address: Address) -> Address:
    """An IPv4 address as an IPv6 socket wants it (RFC 4291 section 2.5.5.2)."""
    return (f"::ffff:{address[0]}", address[1]) if len(address) == 2 and ":" not in address[0] else address
