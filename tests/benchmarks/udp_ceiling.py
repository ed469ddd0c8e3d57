"""The ceiling of the data path: a bare socket loop over loopback, one process to another, nothing done but hashing.

    python tests/benchmarks/udp_ceiling.py [--size 104857600] [--chunk-size 1024] [--rounds 3]

A child process sends as many datagrams as a PPSPP transfer of `size` octets has chunks, of the same size: the chunk and
21 octets before it (channel ID, DATA header). This process takes each one and computes the SHA-256 of its chunk. So
that nothing is lost, it grants the sender credit with a small datagram for every quarter of a window that came; no
other protocol is there.
Prints MB/s: 10^6 octets of content a second.
"""

import argparse
import hashlib
import json
import socket
import statistics
import struct
import subprocess
import sys
import time

HEADER_SIZE = 21
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_BUFFER_SIZE = 4 * 1024 * 1024
_GRANTS = 4
"""Grants a window, which is so many datagrams that they take half of the buffer: of the kernel's memory each takes some
two times its octets."""
_MAX_PAYLOAD = 65_507
_TIMEOUT = struct.pack("ll", 10, 0)


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_SIZE)
    # A time limit in the kernel: one of Python's own would cost a poll for each call.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
    sock.bind(("127.0.0.1", 0))
    return sock


def _send(port: int, count: int, size: int, offload: bool) -> None:
    """The child: send `count` datagrams of `size` octets as far as credit goes."""
    with _socket() as sock:
        sock.connect(("127.0.0.1", port))
        datagram = bytes(range(256)) * (size // 256 + 1)
        datagram = datagram[:size]
        segments = min(64, _MAX_PAYLOAD // size) if offload else 1
        burst = datagram * segments
        control = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size))]
        sock.send(b"")
        sent = credit = 0
        while sent < count:
            while sent >= credit:
                credit = struct.unpack("=Q", sock.recv(8))[0]
            allowed = min(credit, count) - sent
            if segments == 1:
                for _ in range(allowed):
                    sock.send(datagram)
                sent += allowed
            else:
                number = min(segments, allowed)
                sock.sendmsg([burst[: number * size]] if number < segments else [burst], control)
                sent += number


def _receive(sock: socket.socket, count: int, size: int) -> float:
    """Take and hash `count` datagrams; returns the seconds that it took."""
    buffer = bytearray(65_536)
    view, buffers = memoryview(buffer), [buffer]
    sha256, receive = hashlib.sha256, sock.recvmsg_into
    _, _, _, sender = receive(buffers)
    start = time.perf_counter()
    window = max(_BUFFER_SIZE // (2 * (size - HEADER_SIZE)), _GRANTS)
    received, granted = 0, window
    sock.sendto(struct.pack("=Q", granted), sender)
    while received < count:
        length, ancillary, _, _ = receive(buffers, 64)
        segment = length
        if ancillary:
            segment = struct.unpack_from("=i", ancillary[0][2])[0]
        for offset in range(0, length, segment):
            sha256(view[offset + HEADER_SIZE : offset + segment]).digest()
            received += 1
        if received + window - granted >= window // _GRANTS:
            granted = received + window
            sock.sendto(struct.pack("=Q", granted), sender)
    return time.perf_counter() - start


def hashed_loop(size: int = 100 * 1024 * 1024, chunk_size: int = 1024, *, offload: bool) -> float:
    """MB/s of content through the bare loop, with or without UDP_SEGMENT and UDP_GRO.

    Raises OSError when the kernel has not the one asked for, or when nothing comes for ten seconds.
    """
    count = -(-size // chunk_size)
    datagram_size = chunk_size + HEADER_SIZE
    with _socket() as sock:
        if offload:
            sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        order = {"port": sock.getsockname()[1], "count": count, "size": datagram_size, "offload": offload}
        with subprocess.Popen([sys.executable, __file__, "--send", json.dumps(order)]) as sender:
            seconds = _receive(sock, count, datagram_size)
            if sender.wait(30):
                raise OSError(f"the sender ended with status {sender.returncode}")
    return count * chunk_size / seconds / 1e6


def main() -> None:
    """Print the ceilings, the best and the median of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100 * 1024 * 1024)
    parser.add_argument("--chunk-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        order = json.loads(options.send)
        _send(order["port"], order["count"], order["size"], order["offload"])
        return
    figures: dict[str, list[float]] = {"plain": [], "offload": []}
    for _ in range(options.rounds):
        for mode, rates in figures.items():
            rates.append(hashed_loop(options.size, options.chunk_size, offload=mode == "offload"))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"Bare socket loop, {options.size} octets, chunks of {options.chunk_size}, SHA-256, loopback")
    for mode, rates in figures.items():
        print(f"  {mode:8} median {statistics.median(rates):7.1f} MB/s, best {max(rates):7.1f} MB/s")


if __name__ == "__main__":
    main()
