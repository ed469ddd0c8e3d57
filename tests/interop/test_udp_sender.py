"""The sending half of the UDP driver against a socket that refuses on demand."""

import errno
import itertools
import socket
import struct
from collections.abc import Iterator
from typing import Any, cast

import pytest

from interop._udp_machine import Address, Datagram
from interop._udp_offload import MAX_PAYLOAD, MAX_SEGMENTS, SOL_UDP, UDP_SEGMENT
from interop._udp_sender import _ASK_AGAIN, MAX_UNSENT, Blocked, DatagramSender, UdpStats, _run

A, B = ("192.0.2.1", 1), ("192.0.2.2", 2)


class FakeSocket:
    """Takes datagrams as a UDP socket does, cuts segments as the kernel does, and fails as the scripts say."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.fail_sendmsg: Iterator[int] = iter(())
        self.fail_sendto: Iterator[int] = iter(())
        self.calls: list[str] = []
        self.family = socket.AF_INET
        self.modes: list[int] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.IPPROTO_IP, 10), "IP_MTU_DISCOVER"
        self.modes.append(value)

    def _called(self, name: str, script: Iterator[int]) -> None:
        self.calls.append(name)
        number = next(script, 0)
        if number:
            raise OSError(number, "scripted")

    def sendto(self, octets: bytes, address: Address) -> None:
        self._called("sendto", self.fail_sendto)
        self.sent.append((octets, address))

    def sendmsg(self, buffers: list[Any], control: list[tuple[int, int, bytes]], flags: int, address: Address) -> None:
        self._called("sendmsg", self.fail_sendmsg)
        ((level, option, value),) = control
        assert (level, option, flags) == (SOL_UDP, UDP_SEGMENT, 0)
        (size,) = struct.unpack("=H", value)
        octets = b"".join(buffers)
        self.sent += [(octets[start : start + size], address) for start in range(0, len(octets), size)]


@pytest.fixture
def fake() -> FakeSocket:
    return FakeSocket()


@pytest.fixture
def sender(fake: FakeSocket) -> DatagramSender:
    return sender_of(fake)


def sender_of(fake: FakeSocket, *, segmentation: bool = True, dual_stack: bool = False) -> DatagramSender:
    return DatagramSender(cast(socket.socket, fake), UdpStats(), segmentation=segmentation, dual_stack=dual_stack)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_ends_at_another_address_at_a_larger_one_and_after_a_shorter_one() -> None:
    batch: list[tuple[Datagram, Address]] = [(b"1234", A), ((b"12", b"34"), A), (b"12", A)]
    batch += [(b"1234", A), (b"12345", A), (b"12345", B)]
    runs = []
    start = 0
    while start < len(batch):
        buffers, count, size, total = _run(batch, start)
        assert sum(map(len, buffers)) == total
        runs.append((count, size, total))
        start += count
    assert runs == [(3, 4, 10), (1, 4, 4), (1, 5, 5), (1, 5, 5)]


def test_a_run_holds_no_more_than_a_call_may_carry() -> None:
    assert _run([(b"x", A)] * 200, 0)[1] == MAX_SEGMENTS
    assert _run([(bytes(1400), A)] * 200, 0)[1:] == (46, 1400, 64_400)
    assert _run([(bytes(MAX_PAYLOAD), A)] * 2, 0)[1] == 1
    assert _run([((b"x",) * 100, A)] * 64, 0)[1] == 10


def test_an_empty_datagram_is_a_run_of_its_own() -> None:
    assert _run([(b"", A), (b"", A)], 0)[1] == 1
    assert _run([(b"x", A), (b"", A)], 0)[1] == 1


def test_every_datagram_keeps_its_boundaries_its_address_and_its_place(
    fake: FakeSocket, sender: DatagramSender
) -> None:
    sizes = [1045] * 70 + [700, 1045, 3, 0, 0, 9] + [1400] * 50
    expected = [(bytes([number]) * size, A if number % 90 else B) for number, size in enumerate(sizes)]
    sender.send([((octets[:21], memoryview(octets)[21:]), address) for octets, address in expected])
    assert fake.sent == expected
    # The runs, worked out by hand: 64, 5 and the 700, 1045 and 3, 14 and 35 of 1400 around the one to B.
    assert fake.calls.count("sendmsg") == 5


def test_a_batch_of_one_is_a_plain_call(fake: FakeSocket, sender: DatagramSender) -> None:
    sender.send([((b"he", b"llo"), A)])
    assert (fake.calls, fake.sent) == (["sendto"], [(b"hello", A)])


def test_without_segmentation_every_datagram_is_a_plain_call(fake: FakeSocket) -> None:
    sender_of(fake, segmentation=False).send([(b"x", A)] * 5)
    assert fake.calls == ["sendto"] * 5


def test_a_dual_stack_socket_is_given_ipv4_addresses_as_mapped_ones(fake: FakeSocket) -> None:
    six = ("2001:db8::1", 7, 0, 0)
    sender_of(fake, dual_stack=True).send([(b"x", A), (b"y", six), (b"z", ("2001:db8::2", 9))])
    assert [address for _, address in fake.sent] == [("::ffff:192.0.2.1", 1), six, ("2001:db8::2", 9)]


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT])
def test_a_kernel_that_refuses_to_segment_is_not_asked_again(fake: FakeSocket, number: int) -> None:
    fake.fail_sendmsg = itertools.repeat(number)
    sender = sender_of(fake)
    expected = [(bytes([value]) * 100, A) for value in range(20)]
    sender.send(expected[:10])
    sender.send(expected[10:])
    assert fake.sent == expected
    assert not sender.segmentation
    assert fake.calls == ["sendmsg"] + ["sendto"] * 20


def test_a_bad_address_does_not_switch_segmentation_off(fake: FakeSocket) -> None:
    fake.fail_sendmsg = iter([errno.EINVAL])
    fake.fail_sendto = iter([errno.EINVAL] * 3)
    stats = UdpStats()
    sender = DatagramSender(cast(socket.socket, fake), stats, segmentation=True)
    sender.send([(b"lost", A)] * 3 + [(b"kept", B)] * 3)
    assert fake.sent == [(b"kept", B)] * 3
    assert sender.segmentation
    assert (stats.send_errors, stats.errors) == (3, {"EINVAL": 3})


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EMSGSIZE, errno.ENETUNREACH, errno.EPERM])
def test_a_refused_datagram_is_counted_and_the_rest_goes_out(fake: FakeSocket, number: int) -> None:
    fake.fail_sendto = iter([0, number])
    stats = UdpStats()
    DatagramSender(cast(socket.socket, fake), stats, segmentation=False).send([(b"1", A), (b"2", A), (b"3", A)])
    assert [octets for octets, _ in fake.sent] == [b"1", b"3"]
    assert (stats.send_errors, stats.errors) == (1, {errno.errorcode[number]: 1})
    assert (stats.datagrams_out, stats.octets_out) == (2, 2)


def test_a_whole_refused_run_is_counted_by_datagram(fake: FakeSocket) -> None:
    fake.fail_sendmsg = iter([errno.ENETUNREACH])
    stats = UdpStats()
    sender = DatagramSender(cast(socket.socket, fake), stats, segmentation=True)
    sender.send([(b"x", A)] * 5)
    assert (stats.send_errors, stats.errors, sender.segmentation) == (5, {"ENETUNREACH": 1}, True)


# -- a full send buffer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("segmentation", [True, False])
def test_datagrams_wait_in_order_while_the_send_buffer_is_full(fake: FakeSocket, segmentation: bool) -> None:
    refusals = [0, errno.EAGAIN, errno.EAGAIN, 0, 0, errno.EAGAIN]
    fake.fail_sendmsg, fake.fail_sendto = iter(refusals), iter(refusals)
    sender = sender_of(fake, segmentation=segmentation)
    expected = [(bytes([number]) * (10 if number < 70 else 5), A) for number in range(150)]
    sender.send(expected)
    left = [sender.unsent]
    while left[-1]:
        sender.retry()
        left.append(sender.unsent)
    assert fake.sent == expected
    # By hand: one call succeeds (64 datagrams or 1), then as the script says; what waits goes out by plain calls.
    assert left == ([86, 85, 85, 83, 0] if segmentation else [149, 149, 147, 0])


def test_a_refused_run_may_have_to_wait_as_well(fake: FakeSocket) -> None:
    fake.fail_sendmsg = iter([errno.EIO])
    fake.fail_sendto = iter([0, 0, errno.EAGAIN])
    sender = sender_of(fake)
    expected = [(bytes([number]), A) for number in range(6)]
    sender.send(expected)
    assert (sender.unsent, sender.segmentation) == (4, False)
    sender.retry()
    assert fake.sent == expected


def test_what_waits_is_a_copy(fake: FakeSocket) -> None:
    fake.fail_sendto = iter([errno.EAGAIN])
    sender = sender_of(fake)
    chunk = bytearray(b"chunk")
    sender.send([((b"header ", memoryview(chunk)), A)])
    chunk[:] = b"other"
    sender.retry()
    assert fake.sent == [(b"header chunk", A)]


def test_a_kernel_short_of_buffers_is_told_from_a_full_buffer(fake: FakeSocket, sender: DatagramSender) -> None:
    fake.fail_sendto = iter([errno.ENOBUFS])
    sender.send([(b"x", A)])
    assert (sender.blocked, sender.unsent) == (Blocked.NO_BUFFERS, 1)


def test_the_queue_before_a_full_send_buffer_is_bounded(fake: FakeSocket) -> None:
    fake.fail_sendto = itertools.repeat(errno.EAGAIN)
    stats = UdpStats()
    sender = DatagramSender(cast(socket.socket, fake), stats, segmentation=False)
    sender.send([(b"x", A)] * (MAX_UNSENT + 7))
    assert (sender.unsent, stats.unsent_dropped) == (MAX_UNSENT, 7)


# -- packets and fragments -------------------------------------------------------------------------------------------

# IP_PMTUDISC_DONT and IP_PMTUDISC_PROBE of <linux/in.h>.
FRAGMENTS, WHOLE = 0, 3


def test_segments_that_no_packet_holds_go_one_by_one_and_others_go_together_on(
    fake: FakeSocket, sender: DatagramSender
) -> None:
    fake.fail_sendmsg = iter([errno.EINVAL])
    sender.send([(bytes(8300), A)] * 3)
    assert fake.calls == ["sendmsg"] + ["sendto"] * 3
    assert sender.segmentation
    fake.calls.clear()
    sender.send([(bytes(8300), A)] * 2 + [(bytes(1100), A)] * 5)
    assert fake.calls == ["sendto", "sendto", "sendmsg"]


def test_a_path_that_the_kernel_takes_for_narrow_ends_segmentation_neither_for_good_nor_for_shorter_ones(
    fake: FakeSocket, sender: DatagramSender
) -> None:
    """It takes an ICMP message's word for that, which anybody can forge."""
    fake.fail_sendmsg = iter([errno.EMSGSIZE])
    sender.send([(bytes(1052), A)] * 4)
    assert sender.segmentation
    fake.calls.clear()
    sender.send([(bytes(500), B)] * 4)
    assert fake.calls == ["sendmsg"]
    for _ in range(_ASK_AGAIN // 3):
        sender.send([(bytes(1052), A)] * 4)
    fake.calls.clear()
    sender.send([(bytes(1052), A)] * 64)
    assert set(fake.calls) == {"sendto", "sendmsg"}
    fake.calls.clear()
    sender.send([(bytes(1052), A)] * 62)
    assert fake.calls == ["sendmsg"]


def test_a_kernel_that_looks_at_its_interface_alone_and_refuses_is_not_asked_again(
    fake: FakeSocket, sender: DatagramSender
) -> None:
    assert sender.keep_whole(lambda address, size: None)
    fake.fail_sendmsg = iter([errno.EMSGSIZE])
    sender.send([(bytes(1052), A)] * 4)
    assert not sender.segmentation


def test_what_is_refused_in_fragments_is_segmented_where_it_must_be_whole(
    fake: FakeSocket, sender: DatagramSender
) -> None:
    assert sender.keep_whole(lambda address, size: None)
    fake.fail_sendmsg = iter([errno.EMSGSIZE])
    sender.send([(bytes(1300), A)] * 4, whole=False)
    assert sender.segmentation
    fake.calls.clear()
    sender.send([(bytes(1300), A)] * 4)
    assert fake.calls == ["sendmsg"]


def test_a_long_datagram_before_a_shorter_one_leaves_alone() -> None:
    assert _run([(bytes(2094), A), (bytes(1047), A)], 0)[1] == 1
    assert _run([(bytes(2094), A), (bytes(2094), A), (bytes(1047), A)], 0)[1] == 3
    assert _run([(bytes(1100), A), (bytes(1047), A)], 0)[1] == 2


def test_what_may_leave_in_fragments_does_and_all_else_does_not(fake: FakeSocket, sender: DatagramSender) -> None:
    assert sender.keep_whole(lambda address, size: None)
    sender.send([(b"x", A)])
    sender.send([(bytes(8300), A)], whole=False)
    sender.send([(bytes(8300), A)], whole=False)
    sender.send([(b"y", A)])
    assert fake.modes == [WHOLE, FRAGMENTS, WHOLE]


def test_unless_asked_the_sender_leaves_it_to_the_system(fake: FakeSocket, sender: DatagramSender) -> None:
    sender.send([(b"x", A)], whole=False)
    sender.send([(b"x", A)])
    assert fake.modes == []


def test_what_had_to_wait_leaves_as_it_would_have_left(fake: FakeSocket, sender: DatagramSender) -> None:
    assert sender.keep_whole(lambda address, size: None)
    fake.fail_sendto = iter([errno.EAGAIN])
    sender.send([(bytes(8300), A)], whole=False)
    sender.send([(b"y", A)])
    assert not fake.sent
    sender.retry()
    assert [len(octets) for octets, _ in fake.sent] == [8300, 1]
    assert fake.modes == [WHOLE, FRAGMENTS, WHOLE, FRAGMENTS, WHOLE]


def test_of_a_datagram_that_is_too_long_is_told_and_the_next_goes_out(fake: FakeSocket, sender: DatagramSender) -> None:
    told: list[tuple[Address, int]] = []
    assert sender.keep_whole(lambda address, size: told.append((address, size)))
    fake.fail_sendto = iter([errno.EMSGSIZE])
    sender.send([(bytes(2094), A)])
    sender.send([(bytes(1047), A)])
    assert told == [(A, 2094)]
    assert [len(octets) for octets, _ in fake.sent] == [1047]


def test_a_run_that_is_too_long_is_told_of_and_segmentation_stays(fake: FakeSocket, sender: DatagramSender) -> None:
    told: list[tuple[Address, int]] = []
    assert sender.keep_whole(lambda address, size: told.append((address, size)))
    fake.fail_sendmsg = iter([errno.EMSGSIZE])
    fake.fail_sendto = itertools.repeat(errno.EMSGSIZE)
    sender.send([(bytes(2094), A)] * 3)
    assert told == [(A, 2094)] * 3
    assert sender.segmentation


def test_a_kernel_that_cannot_keep_datagrams_whole_is_left_alone(
    fake: FakeSocket, sender: DatagramSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interop._udp_offload.sys.platform", "darwin")
    assert not sender.keep_whole(lambda address, size: None)
    assert fake.modes == []
