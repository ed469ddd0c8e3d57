"""A road with a narrow place: two peers in network namespaces, and a router between them that says nothing.

    source 10.1.0.2, fd01::2 ---[ ends ]--- router ---[ middle ]--- fetcher 10.2.0.2, fd02::2

The router drops what is longer than `middle`, and the ICMP messages that would tell of it. Either peer is a process of
this module, which does what it reads from stdin, a JSON object a line, and writes JSON objects to stdout.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

from ppsp_namespaces import World

from interop.peer import SwarmPeer
from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, SwarmUri, hash_chunks
from ppsp.events import Event, PeerDisconnected
from ppsp.store import MemoryStore

SOURCE = {4: "10.1.0.2", 6: "fd01::2"}
FETCHER = {4: "10.2.0.2", 6: "fd02::2"}
_ROUTER = {1: ("10.1.0.1", "fd01::1"), 2: ("10.2.0.1", "fd02::1")}


class Road(World):
    """The three namespaces, with a peer at either end."""

    def __init__(self, folder: Path) -> None:
        super().__init__(symmetric=False)
        script = str(Path(__file__))
        self._peers = {
            name: self.start(name, sys.executable, script, log=folder / f"{name}.log", stdin=True)
            for name in ("source", "fetcher")
        }

    def _build(self, symmetric: bool) -> None:
        for name in ("source", "router", "fetcher"):
            self._ip("netns", "add", self.name(name))
            self._made.append(name)
            self._ip("-n", self.name(name), "link", "set", "lo", "up")
        for number, end, addresses in ((1, "source", SOURCE), (2, "fetcher", FETCHER)):
            old, new = _ROUTER[number]
            self._cable("router", f"to-{end}", f"{old}/24", end, "eth", f"{addresses[4]}/24")
            self.inside("router", "ip", "addr", "add", f"{new}/64", "dev", f"to-{end}", "nodad")
            self.inside(end, "ip", "addr", "add", f"{addresses[6]}/64", "dev", "eth", "nodad")
            self.inside(end, "ip", "route", "add", "default", "via", old)
            self.inside(end, "ip", "-6", "route", "add", "default", "via", new)
        self.inside("router", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.inside("router", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        silence = """
            table inet silent {
                chain out {
                    type filter hook output priority 0;
                    icmp type destination-unreachable drop
                    icmpv6 type packet-too-big drop
                }
            }"""
        self.inside("router", "nft", "-f", "-", text=silence)

    def narrow(self, ends: int, middle: int) -> None:
        """Set the MTUs, and forget what the kernels know."""
        for space, link, mtu in (
            ("source", "eth", ends),
            ("router", "to-source", ends),
            ("router", "to-fetcher", middle),
            ("fetcher", "eth", middle),
        ):
            self.inside(space, "ip", "link", "set", link, "mtu", str(mtu))

    def ask(self, name: str, **words: Any) -> dict[str, Any]:
        """Have a peer do something; returns what it says."""
        process = self._peers[name]
        assert process.stdin is not None
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()
        return self.hear(name)

    def hear(self, name: str) -> dict[str, Any]:
        """The next thing that a peer says."""
        process = self._peers[name]
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the {name} has died"
        said: dict[str, Any] = json.loads(line)
        return said

    def fragments(self) -> int:
        """Packets that were cut anywhere, or had to be put together, so far, of both versions of IP."""
        count = 0
        for space in ("source", "router", "fetcher"):
            names, values = self.inside(space, "sh", "-c", "grep ^Ip: /proc/net/snmp").splitlines()
            figures = dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
            count += figures["FragCreates"] + figures["ReasmReqds"]
            for line in self.inside(space, "cat", "/proc/net/snmp6").splitlines():
                if line.startswith(("Ip6FragCreates", "Ip6ReasmReqds")):
                    count += int(line.split()[1])
        return count


def content(octets: int) -> bytes:
    """The same octets at every call."""
    return random.Random(octets).randbytes(octets)


async def _seed(words: dict[str, Any], until: contextlib.AsyncExitStack) -> dict[str, Any]:
    octets = content(words["octets"])
    leaves = hash_chunks(octets, words["chunk_size"], MerkleHashFunction.SHA256)
    tree = MerkleTree.from_leaves(leaves, MerkleHashFunction.SHA256)
    uri = SwarmUri(SwarmMetadata(tree.root, chunk_size=words["chunk_size"]))

    def left(event: Event) -> None:
        if isinstance(event, PeerDisconnected):
            figures = event.stats
            told = {"datagram_size": figures.datagram_size, "lost": figures.chunks_lost, "sent": figures.chunks_sent}
            print(json.dumps(told), flush=True)

    peer = SwarmPeer(
        uri,
        MemoryStore(octets),
        tree=tree,
        content_size=len(octets),
        local=(words["host"], 0),
        upload_rate=words["rate"],
        on_event=left,
    )
    await until.enter_async_context(peer)
    return {"uri": str(uri), "port": peer.local_address[1]}


async def _fetch(words: dict[str, Any]) -> dict[str, Any]:
    store = MemoryStore()
    source = (words["peer"], words["port"])
    async with SwarmPeer(SwarmUri.parse(words["uri"]), store, local=(words["host"], 0), peers=[source]) as peer:
        async with asyncio.timeout(60):
            while 2 * len(store.content) < words["octets"]:
                await peer.news()
            print(json.dumps({"half": len(store.content)}), flush=True)
            await peer.completed()
    return {"sha256": hashlib.sha256(store.content).hexdigest()}


async def _main() -> None:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as until:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            words = json.loads(line)
            answer = await (_fetch(words) if "uri" in words else _seed(words, until))
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
