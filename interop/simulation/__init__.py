"""A network in virtual time that runs the unchanged datagram machines, for tests and for the study of protocols.

Hosts, links with a rate, a delay and a queue, loss, reordering, duplication and corruption, NATs, partitions, hosts
that crash and return. Nothing here waits, and nothing is random but what a seed decides: the same seed and the same
calls give the same octets at the same microseconds.

    from interop.simulation import DropTail, Link, Network, megabits

    network = Network(seed=1)
    bottleneck = Link(rate=megabits(10), delay=0.02, queue=DropTail(octets=50_000), loss=0.01, sample_delays=True)
    source = network.host("192.0.2.1", name="source", up=bottleneck)
    peer = network.host("192.0.2.2", name="peer", up=Link(rate=megabits(1), delay=0.02))
    socket = peer.run(machine, port=7000)                    # any DatagramMachine, as UdpDriver takes it
    source.run(other_machine, port=7000)
    machine.connect(("192.0.2.1", 7000), now=peer.now)       # a verb, and then:
    socket.wake()
    with network.tap_pcap("run.pcap"):
        network.run_until(lambda: machine.complete, limit=60.0)
    print(bottleneck.metrics.mean_queue_delay, network.recorder.dropped)

Times are float seconds at the machines and in this interface, integer microseconds inside. Rates are octets per second.
A packet's size on a link is its payload with 28 octets of headers over IPv4, 48 over IPv6. There is no IP
fragmentation, and no ICMP: a packet for a closed port or a host that is down just disappears.
"""

from interop._udp_machine import Datagram, DatagramMachine
from interop.simulation._codel import CoDel
from interop.simulation._engine import Engine, SimulationError, Timer
from interop.simulation._hosts import CallbackSocket, Host, MachineSocket, OnDatagram
from interop.simulation._links import DropTail, Link, LinkMetrics, megabits
from interop.simulation._nat import Nat, NatBehaviour
from interop.simulation._network import Network, Partition
from interop.simulation._packets import Drop, Fate, Packet, PacketEvent, Recorder, SimulatedAddress, Tap, TraceHash
from interop.simulation._pcap import PcapWriter

__all__ = [
    "CallbackSocket",
    "CoDel",
    "Datagram",
    "DatagramMachine",
    "Drop",
    "DropTail",
    "Engine",
    "Fate",
    "Host",
    "Link",
    "LinkMetrics",
    "MachineSocket",
    "Nat",
    "NatBehaviour",
    "Network",
    "OnDatagram",
    "Packet",
    "PacketEvent",
    "Partition",
    "PcapWriter",
    "Recorder",
    "SimulatedAddress",
    "SimulationError",
    "Tap",
    "Timer",
    "TraceHash",
    "megabits",
]
