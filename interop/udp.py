"""One UDP driver for every datagram machine, on asyncio's selector loop and on uvloop.

A wake-up drains a bounded number of datagrams into the machine, asks it once for what it wants to send, and hands runs
of equal datagrams to the kernel in one call each (UDP_SEGMENT), where the kernel can do that. Nothing that the network
does raises: it is counted in `UdpDriver.stats`.
"""

import asyncio
import socket
import time
from collections.abc import Callable

from interop._udp_machine import Address, Datagram, DatagramMachine
from interop._udp_offload import (
    ANCILLARY_SIZE,
    call_cost,
    can_segment,
    enable_drop_count,
    enable_gro,
    enlarge_buffers,
    read_control,
)
from interop._udp_sender import Blocked, DatagramSender, UdpStats

__all__ = ["Address", "Datagram", "DatagramMachine", "UdpDriver", "UdpStats"]

BUFFER_SIZE = 4 * 1024 * 1024
"""Octets asked of the kernel for each direction: the usual 208 KiB lose datagrams as soon as we are busy for 1 ms."""

_DRAIN = 64
"""System calls in one drain, where a call that moved n datagrams counts as n / 8. More would leave the acknowledgements
of the first datagrams waiting for too long. When every call of a drain fails, the socket is broken: an error that an
ICMP message caused goes away when it is read."""
_FLUSH = 64
"""The same for sending, before other callbacks of the loop get their turn: were it more than one drain takes in, two
peers that flood each other would lose datagrams in their receive buffers."""
_RECEIVE_SIZE = 65_536
"""No datagram, and no run of coalesced ones, is larger."""
_TRUNCATED = int(socket.MSG_TRUNC)
"""As a plain number: with the flag of an enumeration, to look at every datagram's flags costs a microsecond."""
_PAUSE = 0.005
"""Seconds until the next attempt after ENOBUFS, which the socket's readiness says nothing about."""
_EARLY_PAUSE = 0.001
"""Seconds to wait when the loop's timer came early: uvloop rounds to milliseconds, and rounds down as well as up."""


class UdpDriver:
    """Connects one datagram machine with one UDP socket.

    Make one with `open`. After a verb on the machine (connect, close, ...) call `wake`. Nothing here is thread-safe;
    all calls belong to the loop's thread.
    """

    def __init__(
        self,
        machine: DatagramMachine,
        sock: socket.socket,
        *,
        on_events: Callable[[], None] | None = None,
        offload: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Drive `machine` over `sock`, which is bound and from now on belongs to the driver. Needs a running loop."""
        sock.setblocking(False)
        self.stats = UdpStats()
        self.local_address: Address = sock.getsockname()
        """What the socket is bound to, as `socket.getsockname` gives it."""
        self.receive_buffer, self.send_buffer = enlarge_buffers(sock, BUFFER_SIZE)
        """Octets of socket buffer that the kernel granted, of the BUFFER_SIZE asked for."""
        self.coalescing = offload and enable_gro(sock)
        """Whether the kernel hands over runs of datagrams in one buffer (UDP_GRO)."""
        enable_drop_count(sock)
        self._dual_stack = sock.family == socket.AF_INET6 and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        self._machine = machine
        self._sock = sock
        self._sender = DatagramSender(
            sock, self.stats, segmentation=offload and can_segment(sock), dual_stack=self._dual_stack
        )
        self._on_events = on_events
        self._clock = clock
        self._buffer = memoryview(bytearray(_RECEIVE_SIZE))
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._failure: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._wake: asyncio.Handle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._writing = False
        self._loop.add_reader(sock, self._readable)
        self.wake()

    @classmethod
    async def open(
        cls,
        machine: DatagramMachine,
        local: tuple[str, int],
        *,
        on_events: Callable[[], None] | None = None,
        offload: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> "UdpDriver":
        """Bind `local` (port 0: any) and drive `machine` until `close`.

        `on_events` is called after every batch: take the machine's events there, and call `wake` if you answered one
        with a verb. `offload=False` keeps to plain datagrams, one a system call. `clock` is what the machine is given
        as `now`, in seconds. The local host `::` serves IPv4 as well, whose peers keep their IPv4 addresses.

        Raises OSError when the address cannot be resolved or bound.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(*local, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
            sock.bind(address)
            return cls(machine, sock, on_events=on_events, offload=offload, clock=clock)
        except BaseException:
            sock.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, by `close` or after a failure."""
        return self._closed.done()

    @property
    def segmentation(self) -> bool:
        """Whether runs of datagrams go out in one call (UDP_SEGMENT); turns False for good if the kernel refuses."""
        return self._sender.segmentation

    @property
    def unsent(self) -> int:
        """Datagrams that wait for room in the send buffer; the machine is not asked for more meanwhile."""
        return self._sender.unsent

    def wake(self) -> None:
        """Have the machine asked for datagrams, events and its timer soon. Call it after every verb."""
        if self._wake is None and not self.closed:
            self._wake = self._loop.call_soon(self._woken)

    def close(self) -> None:
        """Send what the machine wants to say now, as far as the kernel takes it at once, and close the socket."""
        if self.closed:
            return
        try:
            if self._sender.blocked is not Blocked.NO:
                self._sender.retry()
            self._send_burst()
        except Exception as failure:  # noqa: BLE001 - reported: see _fail
            self._fail(failure)
        else:
            self._shut()

    async def wait_closed(self) -> None:
        """Wait until the driver is closed; raises the exception of the machine if that is why."""
        await asyncio.shield(self._closed)
        if self._failure is not None:
            raise self._failure

    # -- wake-ups ------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            self._drain()
            self._after_batch()
        except Exception as failure:  # noqa: BLE001 - reported: see _fail
            self._fail(failure)

    def _woken(self) -> None:
        self._wake = None
        if self.closed:
            return
        try:
            self._after_batch()
        except Exception as failure:  # noqa: BLE001 - reported: see _fail
            self._fail(failure)

    def _timer_fired(self) -> None:
        self._timer = None
        try:
            now = self._clock()
            deadline = self._machine.get_timer()
            if deadline is not None and deadline <= now:
                self._machine.handle_timer(now)
                self._after_batch()
            else:
                # The deadline moved since the timer was set, or the loop came early.
                self._set_timer(_EARLY_PAUSE)
        except Exception as failure:  # noqa: BLE001 - reported: see _fail
            self._fail(failure)

    def _writable(self) -> None:
        try:
            self._sender.retry()
            if self._sender.blocked is not Blocked.FULL:
                self._stop_writing()
            self._after_batch()
        except Exception as failure:  # noqa: BLE001 - reported: see _fail
            self._fail(failure)

    def _retry_soon(self) -> None:
        self._retry = None
        self._writable()

    # -- the work ------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        stats, clock, receive = self.stats, self._clock, self._machine.receive_datagram
        buffer, buffers, receive_call = self._buffer, [self._buffer], self._sock.recvmsg_into
        budget, failures = _DRAIN, 0
        while budget > 0:
            budget -= 1
            try:
                length, ancillary, flags, address = receive_call(buffers, ANCILLARY_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                stats.receive_errors += 1
                stats.count_error(error)
                failures += 1
                if failures == _DRAIN:
                    raise
                continue
            # Read here and not once a wake-up: a datagram that came during the drain would seem to come from the
            # future, and its one-way delay would be negative.
            now = clock()
            stats.receive_calls += 1
            if flags & _TRUNCATED:
                stats.truncated += 1
                continue
            segment = self._control(ancillary) if ancillary else 0
            if self._dual_stack:
                address = _unmapped(address)
            stats.octets_in += length
            data = buffer[:length]
            if 0 < segment < length:
                count = -(-length // segment)
                budget -= call_cost(count) - 1
                stats.datagrams_in += count
                for start in range(0, length, segment):
                    receive(data[start : start + segment], address, now)
            else:
                stats.datagrams_in += 1
                receive(data, address, now)

    def _control(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        segment, drops = read_control(ancillary)
        if drops is not None:
            self.stats.kernel_drops = drops
        return segment

    def _after_batch(self) -> None:
        """Everything that follows a batch of input: send, tell of events, set the timer."""
        # With a wake-up on its way, that one sends: a second burst a turn would outrun the reader.
        if self._wake is None and self._sender.blocked is Blocked.NO and not self._send_burst():
            self.wake()
        if self._sender.blocked is Blocked.FULL and not self._writing:
            self._writing = True
            self._loop.add_writer(self._sock, self._writable)
        elif self._sender.blocked is Blocked.NO_BUFFERS and self._retry is None:
            self._retry = self._loop.call_later(_PAUSE, self._retry_soon)
        if self._on_events is not None:
            self._on_events()
        if not self.closed:
            # A machine whose deadline is "when I may send" would be called without end while nothing can be sent.
            self._set_timer(0.0 if self._sender.blocked is Blocked.NO else _PAUSE)

    def _send_burst(self) -> bool:
        """Send until the machine has nothing more; False when it may have, and others should get their turn first."""
        sender, burst, clock = self._sender, self._machine.datagrams_to_send, self._clock
        limit = sender.cost + _FLUSH
        while sender.blocked is Blocked.NO:
            batch = burst(clock())
            if not batch:
                return True
            sender.send(batch)
            if sender.cost >= limit:
                return False
        return True

    def _set_timer(self, at_least: float = 0.0) -> None:
        deadline = self._machine.get_timer()
        if deadline is None:
            return
        # Deadlines mostly move away with every acknowledgement: a timer that is early enough stays, and looks again
        # when it fires.
        if self._timer is not None:
            if self._timer_due <= deadline:
                return
            self._timer.cancel()
        self._timer_due = deadline
        delay = max(deadline - self._clock(), at_least)
        self._timer = self._loop.call_at(self._loop.time() + delay, self._timer_fired)

    # -- the end -------------------------------------------------------------------------------------------------

    def _fail(self, failure: Exception) -> None:
        """Report what the machine or `on_events` raised, and close: a machine in an unknown state must not go on."""
        if self.closed:
            return
        self._failure = failure
        self._shut()
        self._loop.call_exception_handler(
            {"message": f"UDP driver on {self.local_address}: closed by an exception", "exception": failure}
        )

    def _shut(self) -> None:
        self._loop.remove_reader(self._sock)
        self._stop_writing()
        handles: tuple[asyncio.Handle | None, ...] = (self._timer, self._wake, self._retry)
        for handle in handles:
            if handle is not None:
                handle.cancel()
        self._sock.close()
        self._closed.set_result(None)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)


def _unmapped(address: Address) -> Address:
    """An IPv4 peer's address as it would be on an IPv4 socket."""
    return (address[0][7:], address[1]) if address[0].startswith("::ffff:") else address
