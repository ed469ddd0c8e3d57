"""The network: who is connected with whom, and what lies between."""

from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from interop.simulation._engine import Engine, Timer
from interop.simulation._hosts import Host
from interop.simulation._links import Link
from interop.simulation._nat import Nat
from interop.simulation._packets import Drop, Hop, Packet, Recorder, Tap
from interop.simulation._pcap import PcapWriter


class Partition:
    """A split of the network, from `Network.partition` until `heal`."""

    def __init__(self, groups: Iterable[Iterable[Host | Nat]]) -> None:
        self.healed = False
        self._group: dict[Host | Nat, int] = {}
        for number, group in enumerate(groups, 1):
            for member in group:
                if isinstance(member, Host) and member.nat is not None:
                    raise ValueError(f"{member.name} is behind a NAT: name the NAT instead")
                if member in self._group:
                    raise ValueError(f"{member.name} is in two groups")
                self._group[member] = number

    def separates(self, a: Host | Nat, b: Host | Nat) -> bool:
        """Whether packets between the two are dropped."""
        return not self.healed and self._group.get(a, 0) != self._group.get(b, 0)

    def heal(self) -> None:
        """Let everything pass again; the network forgets the partition at the next packet."""
        self.healed = True


class Network:
    """Hosts in virtual time, joined by links. The same seed and the same calls give the same octets at the same times.

    A packet crosses its sender's `up` link, the `core` (or the link that `connect` put between the two), and the
    receiver's `down` link, as far as these exist; where none does, it arrives at the same instant.
    """

    def __init__(self, seed: int | str = 0, *, core: Link | None = None) -> None:
        """Start at time 0. `core` is crossed by every packet between hosts that no link of their own joins."""
        self.engine = Engine()
        self.recorder = Recorder(self.engine)
        """Counts of packets sent, delivered and dropped."""
        self._seed = str(seed)
        self._hosts: list[Host] = []
        self._outside: dict[str, Host | Nat] = {}
        self._between: dict[tuple[Host | Nat, Host | Nat], Link] = {}
        self._partitions: list[Partition] = []
        self._links = 0
        self._core = self._adopt(core)
        self._direct = self._adopt(Link(name="direct"))

    # -- building ------------------------------------------------------------------------------------------------

    def host(
        self,
        address: str,
        *,
        name: str = "",
        up: Link | None = None,
        down: Link | None = None,
        nat: Nat | None = None,
        clock_offset: float = 0.0,
        clock_skew: float = 0.0,
        timer_early: float = 0.0,
        timer_late: float = 0.0,
    ) -> Host:
        """Add a host at an IP address, which has to be unused, among its neighbours behind `nat` if there is one.

        Its clock shows `clock_offset` seconds more than the network's at the start, and gains `clock_skew` seconds a
        second. Its timers come up to `timer_early` seconds too early (once for each deadline) or `timer_late` too late.

        Raises ValueError for an address that is taken, or none.
        """
        ip_address(address)
        neighbours: dict[str, Any] = self._outside if nat is None else nat.inside
        if address in neighbours:
            raise ValueError(f"{address} is taken")
        host = Host(
            address,
            name=name or address,
            engine=self.engine,
            recorder=self.recorder,
            route=self._route,
            seed=self._seed,
            up=self._adopt(up),
            down=self._adopt(down),
            nat=nat,
            clock_offset=clock_offset,
            clock_skew=clock_skew,
            timer_early=timer_early,
            timer_late=timer_late,
        )
        self._hosts.append(host)
        neighbours[address] = host if nat is None else self._path([host.down], [host.deliver])
        return host

    def nat(self, nat: Nat) -> Nat:
        """Add a NAT and return it. Raises ValueError when its address is taken, or none."""
        ip_address(nat.address)
        if nat.address in self._outside:
            raise ValueError(f"{nat.address} is taken")
        nat.join(self.engine, self.recorder)
        self._adopt(nat.up)
        self._adopt(nat.down)
        self._outside[nat.address] = nat
        return nat

    def connect(self, a: Host | Nat, b: Host | Nat, forward: Link, backward: Link | None = None) -> None:
        """Put a link between two hosts (or NATs) instead of the core: `forward` from a to b, `backward` from b to a.

        Without `backward` the way back is left as it is.
        """
        self._between[a, b] = forward
        self._adopt(forward)
        if backward is not None:
            self._between[b, a] = backward
            self._adopt(backward)
        for host in self._hosts:
            host.forget_paths()

    def partition(self, *groups: Iterable[Host | Nat]) -> Partition:
        """Split the network: packets cross the core only within a group. Hosts not named form one more group.

        Name a NAT in place of the hosts behind it. Packets already beyond the sender's access link arrive.

        Raises ValueError for a member of two groups, and for a host behind a NAT.
        """
        partition = Partition(groups)
        self._partitions.append(partition)
        return partition

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds of virtual time since the start."""
        return self.engine.now

    def at(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call `callback(*args)` at that time."""
        return self.engine.call_at(seconds, callback, *args)

    def after(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call `callback(*args)` so many seconds from now."""
        return self.engine.call_later(seconds, callback, *args)

    def run(self, until: float | None = None) -> None:
        """Let time pass, up to and including `until` seconds, or until nothing more will happen.

        Machines with keep-alives go on for ever: give `until` for them. Raises SimulationError when something goes on
        without end while time stands still, and whatever a machine or callback raises.
        """
        self.engine.run(until)

    def run_until(self, condition: Callable[[], bool], limit: float) -> bool:
        """Let time pass until `condition()`; False when `limit` seconds of virtual time came first.

        Raises as `run` does.
        """
        limit_us = round(limit * 1_000_000)
        while not condition():
            if not self.engine.step(limit_us):
                self.engine.run(limit)
                return condition()
        return True

    # -- watching ------------------------------------------------------------------------------------------------

    def tap(self, tap: Tap) -> None:
        """Have a function called with every packet that is sent, delivered or dropped."""
        self.recorder.taps.append(tap)

    def tap_pcap(self, path: str | Path) -> PcapWriter:
        """Write every packet to a pcap file as it leaves its host. Close what is returned when done. Raises OSError."""
        writer = PcapWriter(path)
        self.tap(writer)
        return writer

    # -- paths ---------------------------------------------------------------------------------------------------

    def _adopt(self, link: Link | None) -> Link | None:
        if link is not None:
            self._links += 1
            link.join(self.engine, self.recorder, f"link {self._links}", self._seed)
        return link

    def _path(self, links: Iterable[Link | None], end: list[Hop]) -> tuple[Hop, ...]:
        return (*(link.carry for link in links if link is not None), *end)

    def _route(self, host: Host, destination: str) -> tuple[Hop, ...] | None:
        assert self._direct is not None
        if destination == host.address:
            return (self._direct.carry, host.deliver)
        nat = host.nat
        if nat is None:
            return self._across(host, destination, [host.up], [])
        if destination in nat.inside:
            return self._path([host.up or self._direct], list(nat.inside[destination]))
        if destination == nat.address:
            return self._path([host.up or self._direct], [nat.outbound, nat.inbound]) if nat.hairpinning else None
        return self._across(nat, destination, [host.up], [nat.outbound, *self._path([nat.up], [])])

    def _across(
        self, start: Host | Nat, destination: str, up: list[Link | None], then: list[Hop]
    ) -> tuple[Hop, ...] | None:
        """The way over the core, from a host or NAT with a public address to another."""
        end = self._outside.get(destination)
        if end is None:
            return None
        between = self._between.get((start, end), self._core)
        access = up[0] or (start.up if isinstance(start, Nat) else None) or end.down
        if between is None and access is None:
            between = self._direct
        last = end.inbound if isinstance(end, Nat) else end.deliver
        cross = partial(self._cross, start, end)
        return (*self._path(up, then), cross, *self._path([between, end.down], [last]))

    def _cross(self, start: Host | Nat, end: Host | Nat, packet: Packet) -> None:
        if self._partitions:
            self._partitions = [partition for partition in self._partitions if not partition.healed]
            if any(partition.separates(start, end) for partition in self._partitions):
                self.recorder.was_dropped(packet, "core", Drop.PARTITION)
                return
        packet.advance()
