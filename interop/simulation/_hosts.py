"""Hosts, and the sockets on which machines and plain callbacks live."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeAlias

from interop._udp_machine import Datagram, DatagramMachine
from interop.simulation._engine import Engine, SimulationError, microseconds
from interop.simulation._links import Link
from interop.simulation._nat import Nat
from interop.simulation._packets import Drop, Hop, Packet, Recorder, SimulatedAddress

_MAX_BURSTS = 100_000
"""Bursts that a machine may send at one instant: 64 datagrams each would be 6 GB."""
_MAX_TIMER_CALLS = 1_000
"""Calls of handle_timer at one instant: a machine may have several timers due, but not without end."""
_SCRATCH = 65_536
_EPHEMERAL_PORTS = range(49_152, 65_536)

OnDatagram: TypeAlias = Callable[[bytes, SimulatedAddress, float], None]
"""Called with a datagram's octets, its source and the time on the host's clock."""


class Route(Protocol):
    """How a network answers where a packet has to go."""

    def __call__(self, host: "Host", destination: str) -> tuple[Hop, ...] | None:
        """The hops from a host to an address, None when nobody has it."""


class Host:
    """A computer with one address. Make one with `Network.host`."""

    def __init__(
        self,
        address: str,
        *,
        name: str,
        engine: Engine,
        recorder: Recorder,
        route: Route,
        seed: str,
        up: Link | None,
        down: Link | None,
        nat: Nat | None,
        clock_offset: float,
        clock_skew: float,
        timer_early: float,
        timer_late: float,
    ) -> None:
        """Called by `Network.host`, where the arguments are explained."""
        self.address = address
        self.name = name
        self.engine = engine
        self.recorder = recorder
        self.up = up
        self.down = down
        self.nat = nat
        self.is_up = True
        """False from `crash` to `restart`."""
        self.timer_early = timer_early
        self.timer_late = timer_late
        self.random = random.Random(f"{seed}/host/{name}")
        self.scratch = memoryview(bytearray(_SCRATCH))
        """Where machines see a datagram, and where the next one overwrites it, as in a real driver."""
        self._route = route
        self._paths: dict[str, tuple[Hop, ...]] = {}
        self._clock_offset = clock_offset
        self._clock_rate = 1.0 + clock_skew
        self._sockets: dict[int, _Socket] = {}

    @property
    def now(self) -> float:
        """Seconds on this host's clock."""
        return self.engine.now_us / 1_000_000 * self._clock_rate + self._clock_offset

    def random_bytes(self, count: int) -> bytes:
        """Random octets for this host's machines: the same ones for the same seed."""
        return self.random.randbytes(count)

    def run(
        self, machine: DatagramMachine, port: int | None = None, *, on_events: Callable[[], None] | None = None
    ) -> "MachineSocket":
        """Run a datagram machine on a port, as `UdpDriver.open` would; `on_events` is called after every batch.

        Raises ValueError when the port is taken, SimulationError when the host is down.
        """
        socket = MachineSocket(self, self._port(port), machine, on_events)
        self._sockets[socket.port] = socket
        socket.wake()
        return socket

    def listen(self, on_datagram: OnDatagram, port: int | None = None) -> "CallbackSocket":
        """Have a function called with every datagram for a port; the socket that is returned can `send`.

        Raises ValueError when the port is taken, SimulationError when the host is down.
        """
        socket = CallbackSocket(self, self._port(port), on_datagram)
        self._sockets[socket.port] = socket
        return socket

    def crash(self) -> None:
        """Lose everything that runs on this host, without a word to anybody; packets to it are dropped."""
        self.is_up = False
        for socket in list(self._sockets.values()):
            socket.abandon()

    def restart(self) -> None:
        """Be there again, with nothing running yet."""
        self.is_up = True

    def to_us(self, local: float) -> int:
        """The first microsecond of virtual time at which this host's clock shows `local` or later."""
        at_us = microseconds((local - self._clock_offset) / self._clock_rate)
        # Rounding may leave the clock a hair before `local`; a machine would then be asked in vain, again and again.
        while at_us / 1_000_000 * self._clock_rate + self._clock_offset < local:
            at_us += 1
        return at_us

    def send(self, payload: bytes, source: SimulatedAddress, destination: SimulatedAddress) -> None:
        """Put a packet on the wire."""
        path = self._paths.get(destination[0])
        if path is None:
            found = self._route(self, destination[0])
            if found is not None:
                self._paths[destination[0]] = path = found
        packet = Packet(source, destination, payload, self.engine.now_us, path or ())
        self.recorder.was_sent(packet, self.name)
        if path is None:
            self.recorder.was_dropped(packet, self.name, Drop.NO_ROUTE)
        else:
            packet.advance()

    def deliver(self, packet: Packet) -> None:
        """The last hop."""
        socket = self._sockets.get(packet.destination[1])
        if not self.is_up:
            self.recorder.was_dropped(packet, self.name, Drop.HOST_DOWN)
        elif socket is None:
            self.recorder.was_dropped(packet, self.name, Drop.NO_LISTENER)
        else:
            self.recorder.was_delivered(packet, self.name)
            socket.take(packet)

    def forget_paths(self) -> None:
        """Ask the network anew for every path."""
        self._paths.clear()

    def unbind(self, port: int) -> None:
        """Free a port."""
        self._sockets.pop(port, None)

    def _port(self, wanted: int | None) -> int:
        if not self.is_up:
            raise SimulationError(f"{self.name} is down: nothing runs there until it is restarted")
        if wanted is None:
            wanted = next((port for port in _EPHEMERAL_PORTS if port not in self._sockets), None)
        if wanted is None or not 0 < wanted < 65_536 or wanted in self._sockets:
            raise ValueError(f"{self.name}: port {wanted} is taken or none")
        return wanted


class _Socket(ABC):
    """A port of a host."""

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self.port = port
        self.address: SimulatedAddress = (host.address, port, 0, 0) if ":" in host.address else (host.address, port)
        """Where others reach this socket, unless there is a NAT between."""
        self.closed = False

    @abstractmethod
    def take(self, packet: Packet) -> None:
        """Receive."""

    def abandon(self) -> None:
        """Be closed at once, without last words."""
        self.closed = True
        self.host.unbind(self.port)


class CallbackSocket(_Socket):
    """A port with a function behind it. Make one with `Host.listen`."""

    def __init__(self, host: Host, port: int, on_datagram: OnDatagram) -> None:
        super().__init__(host, port)
        self._on_datagram = on_datagram

    def send(self, data: bytes, address: SimulatedAddress) -> None:
        """Send a datagram; without effect once the socket is closed or its host has crashed."""
        if not self.closed:
            self.host.send(data, self.address, address)

    def take(self, packet: Packet) -> None:
        """Call the function."""
        self._on_datagram(packet.payload, packet.source, self.host.now)

    def close(self) -> None:
        """Stop listening."""
        self.abandon()


class MachineSocket(_Socket):
    """A port with a datagram machine behind it. Make one with `Host.run`."""

    def __init__(self, host: Host, port: int, machine: DatagramMachine, on_events: Callable[[], None] | None) -> None:
        super().__init__(host, port)
        self.machine: DatagramMachine | None = machine
        """None when the host has crashed."""
        self._on_events = on_events
        self._waking = False
        self._timer_us: int | None = None
        self._timer_deadline: float | None = None
        self._timer_calls = 0
        self._timer_called_us = -1

    def wake(self) -> None:
        """Have the machine asked for datagrams, events and its timer at this instant. Call it after every verb."""
        if not self._waking and not self.closed:
            self._waking = True
            self.host.engine.post(self.host.engine.now_us, self._woken)

    def close(self) -> None:
        """Send what the machine wants to say now, and free the port."""
        if self.machine is not None and not self.closed:
            self._send(self.machine)
        self.abandon()

    def abandon(self) -> None:
        """Lose the machine and its timers."""
        super().abandon()
        self.machine = None

    def take(self, packet: Packet) -> None:
        """Give the machine a datagram, and turn to the rest when the last one of this instant is there."""
        machine, host = self.machine, self.host
        if machine is None:
            return
        length = len(packet.payload)
        scratch = host.scratch
        scratch[:length] = packet.payload
        machine.receive_datagram(scratch[:length], packet.source, host.now)
        if host.engine.more_now():
            self.wake()
        elif not self._waking:
            self._after_batch(machine)

    def _woken(self) -> None:
        self._waking = False
        if self.machine is not None:
            self._after_batch(self.machine)

    def _after_batch(self, machine: DatagramMachine) -> None:
        self._send(machine)
        if self._on_events is not None:
            self._on_events()
        if not self.closed:
            self._set_timer(machine)

    def _send(self, machine: DatagramMachine) -> None:
        host = self.host
        for _ in range(_MAX_BURSTS):
            batch = machine.datagrams_to_send(host.now)
            if not batch:
                return
            for datagram, address in batch:
                host.send(_joined(datagram), self.address, address)
        raise SimulationError(
            f"{host.name}: datagrams_to_send of {type(machine).__name__} has no end at {host.engine.now} s"
        )

    def _set_timer(self, machine: DatagramMachine) -> None:
        deadline = machine.get_timer()
        if deadline is None:
            return
        host = self.host
        at_us = max(host.to_us(deadline), host.engine.now_us)
        # The error is drawn once for each deadline: after an early call the next one comes when it should.
        if (host.timer_early or host.timer_late) and deadline != self._timer_deadline:
            error = host.random.uniform(-host.timer_early, host.timer_late)
            at_us = max(at_us + microseconds(error), host.engine.now_us)
        elif self._timer_us is not None and (self._timer_us <= at_us or deadline == self._timer_deadline):
            # A timer that is early enough stays, and looks again when it fires.
            return
        self._timer_deadline = deadline
        self._timer_us = at_us
        host.engine.post(at_us, self._timer_fired, at_us)

    def _timer_fired(self, at_us: int) -> None:
        machine, host = self.machine, self.host
        if machine is None or at_us != self._timer_us:
            return
        self._timer_us = None
        deadline = machine.get_timer()
        if deadline is None:
            return
        if deadline > host.now and not host.timer_early:
            self._set_timer(machine)
            return
        self._guard(machine, at_us, deadline)
        machine.handle_timer(host.now)
        self._after_batch(machine)

    def _guard(self, machine: DatagramMachine, at_us: int, deadline: float) -> None:
        """A real driver would spin for ever on a timer that stays due."""
        if at_us != self._timer_called_us:
            self._timer_called_us = at_us
            self._timer_calls = 0
        self._timer_calls += 1
        if self._timer_calls > _MAX_TIMER_CALLS:
            raise SimulationError(
                f"{self.host.name}: the timer of {type(machine).__name__} does not advance: get_timer() still says "
                f"{deadline} after {_MAX_TIMER_CALLS} calls of handle_timer({self.host.now})"
            )


def _joined(datagram: Datagram) -> bytes:
    return b"".join(datagram) if isinstance(datagram, tuple) else bytes(datagram)
