"""A live stream on loopback: from the source's hands to a viewer's, over so many hops, each a process of its own.

    python tests/benchmarks/ppsp_live.py [--rate 2000000] [--seconds 20] [--hops 2] [--chunks-per-signature 32]

Prints the end-to-end delay (from `publish` of a chunk's last octet to `read` of the chunk; median, 99th percentile and
maximum, in milliseconds, all processes share the machine's clock), and the INTEGRITY messages a chunk that the source
sent, counted on the wire. The first second is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import struct
import subprocess
import sys
import time
from typing import Any

from interop.live import LivePeer
from ppsp.constants import ContentIntegrityProtection
from ppsp.livekeys import LiveSigner
from ppsp.messages import Data, Integrity
from ppsp.metadata import SwarmMetadata, SwarmUri

LOCAL = ("127.0.0.1", 0)
CHUNK = 1024
_STAMP = struct.Struct(">d")
# The source publishes this often, as an encoder that writes frames would.
_TICK = 0.02


def _uri(swarm_id: bytes) -> SwarmUri:
    return SwarmUri(SwarmMetadata(swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE))


class _Counter:
    """Counts INTEGRITY messages and chunks in what a source sends."""

    def __init__(self, peer: LivePeer) -> None:
        self.integrity = self.chunks = 0
        self._codec = peer._endpoint._swarms[peer.uri.metadata.swarm_id].codec
        send = peer._endpoint.datagrams_to_send

        def counted(now: float) -> Any:
            batch = send(now)
            for datagram, _ in batch:
                messages, _ = self._codec.decode(datagram if isinstance(datagram, bytes) else b"".join(datagram))
                self.integrity += sum(isinstance(message, Integrity) for message in messages)
                self.chunks += sum(isinstance(message, Data) for message in messages)
            return batch

        peer._endpoint.datagrams_to_send = counted  # type: ignore[method-assign]


async def _source(arguments: argparse.Namespace) -> None:
    signer = LiveSigner.generate()
    peer = LivePeer(
        _uri(signer.swarm_id), signer=signer, chunks_per_signature=arguments.chunks_per_signature, local=LOCAL
    )
    async with peer:
        counter = _Counter(peer)
        print(json.dumps({"swarm": signer.swarm_id.hex(), "port": peer.local_address[1]}), flush=True)
        await asyncio.sleep(1.0)
        started, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < arguments.seconds:
            due = int(elapsed * arguments.rate / 8 / CHUNK)
            while sent < due:
                peer.publish(_STAMP.pack(time.monotonic()).ljust(CHUNK, b"."))
                sent += 1
            await asyncio.sleep(_TICK)
        peer.end()
        await asyncio.sleep(2.0)
    print(json.dumps({"integrity": counter.integrity, "chunks": counter.chunks, "sent": sent}), flush=True)


async def _viewer(arguments: argparse.Namespace) -> None:
    peer = LivePeer(_uri(bytes.fromhex(arguments.swarm)), local=LOCAL, peers=[("127.0.0.1", arguments.port)])
    delays: list[tuple[float, float]] = []
    async with peer:
        print(json.dumps({"port": peer.local_address[1]}), flush=True)
        async for octets in peer.reader():
            now = time.monotonic()
            born = [_STAMP.unpack_from(octets, at)[0] for at in range(0, len(octets), CHUNK)]
            delays += [(stamp, now - stamp) for stamp in born]
        await asyncio.sleep(1.0)
    first = delays[0][0] + 1.0
    late = sorted(delay for stamp, delay in delays if stamp >= first)
    result = {
        "chunks": len(delays),
        "skipped": peer.stream.skipped,
        "median": statistics.median(late),
        "p99": late[len(late) * 99 // 100],
        "max": late[-1],
    }
    print(json.dumps(result), flush=True)


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def _measure(arguments: argparse.Namespace) -> None:
    words = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in ("rate", "seconds")]
    source = _start("--role=source", f"--chunks-per-signature={arguments.chunks_per_signature}", *words)
    hello = _line(source)
    viewers, port = [], hello["port"]
    for _ in range(arguments.hops):
        viewers.append(_start("--role=viewer", f"--swarm={hello['swarm']}", f"--port={port}"))
        port = _line(viewers[-1])["port"]
    for hop, viewer in enumerate(viewers, 1):
        figures = _line(viewer)
        times = ", ".join(f"{name} {1000 * figures[name]:.0f} ms" for name in ("median", "p99", "max"))
        print(f"hop {hop}: {times}; {figures['chunks']} chunks, {figures['skipped']} skipped")
    figures = _line(source)
    print(f"source: {figures['integrity'] / figures['chunks']:.2f} INTEGRITY messages a chunk")
    for process in (source, *viewers):
        process.wait(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=2e6, help="bits a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--chunks-per-signature", type=int, default=32)
    parser.add_argument("--role", choices=["all", "source", "viewer"], default="all", help=argparse.SUPPRESS)
    parser.add_argument("--swarm", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "source":
        asyncio.run(_source(arguments))
    elif arguments.role == "viewer":
        asyncio.run(_viewer(arguments))
    else:
        _measure(arguments)


if __name__ == "__main__":
    main()
