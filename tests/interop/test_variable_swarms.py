"""Swarms of chunks of variable size as real processes on loopback: seed, fetch, play and live."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from ppsp_gateway import curl

from interop.__main__ import main
from interop.chunk_reading import ChunkReader
from interop.chunk_sizes import read_sizes
from interop.live import LivePeer
from interop.peer import SwarmPeer
from interop.sequential_gateway import SequentialGateway
from ppsp import LiveSigner, Sequential, SwarmUri, publish_chunks
from ppsp.constants import VARIABLE_CHUNK_SIZE, ContentIntegrityProtection
from ppsp.metadata import SwarmMetadata
from ppsp.store import MemoryChunks

LOCAL = ("127.0.0.1", 0)


def lines(count: int, seed: int = 1) -> bytes:
    """A log: some lines are long, one is longer than any chunk."""
    chance = random.Random(seed)
    words = [b"%07d %s\n" % (at, b"x" * min(int(chance.expovariate(0.01)), 900)) for at in range(count)]
    words[count // 2] = b"y" * 5000 + b"\n"
    return b"".join(words)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "events.log"
    path.write_bytes(lines(1500))
    return path


def test_lines_are_fetched_and_the_copy_can_be_served_on(cli, log: Path, tmp_path: Path) -> None:
    source, swarm = cli.seed(log, "--boundaries", "lines")
    metadata = SwarmUri.parse(swarm["uri"]).metadata
    assert metadata.chunk_size == VARIABLE_CHUNK_SIZE
    status, out, err = cli.finish(cli.fetch(swarm["uri"], "a", "--peer", swarm["listen"]))
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["octets"] == log.stat().st_size
    assert (tmp_path / "a").read_bytes() == log.read_bytes()
    sizes = read_sizes(tmp_path / "a.chunks")
    assert len(sizes) == metadata.chunk_count
    assert max(sizes) <= 1024
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]
    cli.stop(source, signal.SIGKILL)
    # The copy is verified by its list, and serves another at the place of the source.
    again = cli.start(
        "fetch",
        swarm["uri"],
        "-o",
        "a",
        "--seed-after",
        "50",
        "--json",
        "--listen",
        swarm["listen"],
        "--peer",
        "127.0.0.1:9",
    )
    assert cli.completed(again)["resumed"] == log.stat().st_size
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "c", "--peer", swarm["listen"], "--timeout", "50"))
    assert status == 0, err
    assert (tmp_path / "c").read_bytes() == log.read_bytes()


def test_a_list_of_sizes_says_where_the_chunks_end(cli, tmp_path: Path) -> None:
    frames = [os.urandom(size) for size in (1, 60_000, 900, 1400, 3, 7000) * 5]
    (tmp_path / "film").write_bytes(b"".join(frames))
    (tmp_path / "frames").write_text("".join(f"{len(frame)}\n" for frame in frames))
    _, swarm = cli.seed(tmp_path / "film", "--boundaries", "frames", "--addressing", "bin32", "--hash", "sha1")
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == b"".join(frames)
    assert (tmp_path / "copy.chunks").read_text() == (tmp_path / "frames").read_text()


def test_a_killed_fetch_goes_on_where_it_was(cli, log: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(log, "--boundaries", "lines", "--upload-limit", "60K")
    first = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    while (event := json.loads(cli.line(first))).get("octets", 0) < 60_000:
        pass
    assert 0 < event["chunks"] < event["chunk_count"] == SwarmUri.parse(swarm["uri"]).metadata.chunk_count
    assert cli.stop(first, signal.SIGKILL) == -signal.SIGKILL
    status, out, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert status == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["resumed"] > 10_000
    assert sum(peer["octets"] for peer in report["peers"]) == log.stat().st_size - report["resumed"]
    assert "resuming: " in err
    assert (tmp_path / "copy").read_bytes() == log.read_bytes()


def test_a_file_whose_chunks_nobody_can_tell_is_left_alone(cli, log: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(log, "--boundaries", "lines")
    (tmp_path / "copy").write_bytes(log.read_bytes())
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert status == 2
    assert err.splitlines()[-1] == (
        "ietf-p2p: copy is there, and nothing tells where its chunks end without copy.chunks (--force replaces it)"
    )
    (tmp_path / "copy.chunks").write_text("5\nfive\n")
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"], "--force"))
    assert status == 0, err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--boundaries", "lines", "--addressing", "byte64"], "byte ranges cannot name chunks of variable size"),
        (["--boundaries", "nowhere"], "nowhere: No such file or directory"),
        (["--boundaries", "events.log"], "events.log: events.log: line 1 is not a number of octets"),
        (["--boundaries", "short"], "events.log: the chunks have 5 octets together, the file has "),
        (["events.log", "--boundaries", "short"], "--boundaries FILE is for one file, this is several"),
    ],
    ids=["byte ranges", "no list", "another file", "wrong sizes", "several files"],
)
def test_a_mistake_is_one_line(log: Path, tmp_path: Path, monkeypatch, capsys, words: list[str], reason: str) -> None:
    (tmp_path / "short").write_text("5\n")
    monkeypatch.chdir(tmp_path)
    assert main(["seed", log.name, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err
    assert "Traceback" not in err


# Reading


def test_a_player_reads_it_from_the_first_octet_on_without_ranges(cli, log: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(log, "--boundaries", "lines", "--upload-limit", "1M")
    process = cli.start("play", swarm["uri"], "-o", "copy", "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    url = cli.line(process).strip()
    with httpx.stream("GET", url, headers={"range": "bytes=5-9"}, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["accept-ranges"] == "none"
        assert b"".join(answer.iter_bytes()) == log.read_bytes()
    assert curl(url) == log.read_bytes()
    base = url.rsplit("/", 2)[0]
    stats = httpx.get(f"{base}/stats").json()
    assert (stats["chunk_size"], stats["complete"], stats["size"]) == (None, True, log.stat().st_size)
    answer = httpx.head(url)
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(log.stat().st_size))
    assert httpx.get(url, headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    deadline = time.monotonic() + 60
    while "complete and verified" not in cli.stderr_of(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert cli.stop(process, signal.SIGINT) == 130
    assert (tmp_path / "copy").read_bytes() == log.read_bytes()
    # Once more, from the copy.
    process = cli.start("play", swarm["uri"], "-o", "copy", "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    assert curl(cli.line(process).strip()) == log.read_bytes()


def test_a_gateway_without_a_peer_says_so() -> None:
    """The first octet is waited for only so long, as with chunks of one size."""
    published = publish_chunks([b"a", b"b"])

    async def main() -> tuple[int, bytes]:
        async with SwarmPeer(
            SwarmUri(published.metadata), MemoryChunks(), local=LOCAL, peers=[("127.0.0.1", 9)]
        ) as peer:
            transport = httpx.ASGITransport(SequentialGateway(peer, patience=0.2))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                answer = await client.get("/" + published.metadata.swarm_id.hex())
                return answer.status_code, answer.content

    assert asyncio.run(main()) == (503, b"No peer of the swarm can be reached.\n")


def test_no_length_is_told_before_everything_is_there() -> None:
    published = publish_chunks([bytes([at % 251]) * 1000 for at in range(100)])
    uri = SwarmUri(published.metadata)

    async def main() -> tuple[list[tuple[bytes, bytes]], bytes]:
        async with (
            SwarmPeer(uri, published.store, tree=published.tree, local=LOCAL, upload_rate=10_000) as source,
            SwarmPeer(uri, MemoryChunks(), local=LOCAL, picker=Sequential, peers=[source.local_address[:2]]) as peer,
        ):
            sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            headers = [(b"host", b"127.0.0.1")]
            path = "/" + published.metadata.swarm_id.hex()
            scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}

            async def receive() -> dict[str, Any]:
                await asyncio.Event().wait()
                raise AssertionError("nothing is received")

            serving = asyncio.ensure_future(SequentialGateway(peer, patience=50)(scope, receive, sent.put))
            start, body = await sent.get(), await sent.get()
            serving.cancel()
            await asyncio.wait({serving})
            return start["headers"], body["body"]

    headers, body = asyncio.run(asyncio.wait_for(main(), 60))
    assert dict(headers)[b"accept-ranges"] == b"none"
    assert b"content-length" not in dict(headers)
    assert published.store.content.startswith(body)
    assert body


def test_a_reader_reads_chunk_by_chunk_in_order() -> None:
    published = publish_chunks([bytes([at % 251]) * (at % 900 + 1) for at in range(400)])
    uri = SwarmUri(published.metadata)

    async def main() -> tuple[bytes, int, bool]:
        async with (
            SwarmPeer(uri, published.store, tree=published.tree, local=LOCAL) as source,
            SwarmPeer(uri, MemoryChunks(), local=LOCAL, peers=[source.local_address[:2]]) as peer,
        ):
            found = b""
            with ChunkReader(peer, ahead=32) as reader:
                while octets := await reader.read():
                    found += octets
                    position = reader.reading.position
                return found, position, reader.ended

    content = published.store.content
    assert asyncio.run(asyncio.wait_for(main(), 60)) == (content, len(content), True)


# Live


def start_live(cli, source: str, *words: str):
    process = cli.start("live", source, "--key", "key", "--listen", "127.0.0.1:0", *words)
    uri = cli.line(process).strip()
    while "broadcasting on " not in cli.stderr_of(process):
        time.sleep(0.02)
    return process, uri, cli.stderr_of(process).split("broadcasting on ")[1].split(",")[0]


def test_a_datagram_is_a_chunk_of_a_live_stream(cli, tmp_path: Path) -> None:
    """As a camera sends it: seven MPEG-TS packets a datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(LOCAL)
        port = probe.getsockname()[1]
    words = ("--chunks", "reads", "--chunks-per-signature", "8", "--serve-after", "20")
    _, uri, address = start_live(cli, f"udp://127.0.0.1:{port}", *words)
    metadata = SwarmUri.parse(uri).metadata
    assert metadata.is_live
    assert metadata.is_variable
    viewer = cli.start("fetch", "--live", uri, "--peer", address, "-o", "copy", "--listen", "127.0.0.1:0")
    packets = [b"G%06d" % at + os.urandom(181) for at in range(100_000)]
    sent = b""
    deadline = time.monotonic() + 60
    copy = tmp_path / "copy"
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        while (not copy.exists() or copy.stat().st_size < 100_000) and time.monotonic() < deadline:
            at = len(sent) // 188
            datagram = b"".join(packets[at : at + 7])
            sender.sendto(datagram, ("127.0.0.1", port))
            sent += datagram
            time.sleep(0.005)
    assert cli.stop(viewer, signal.SIGINT) in (0, 130)
    seen = copy.read_bytes()
    assert len(seen) >= 100_000
    assert len(seen) % (7 * 188) == 0  # whole datagrams
    assert sent.find(seen[:188]) % (7 * 188) == 0
    assert seen in sent


def test_lines_are_broadcast_up_to_the_proven_end_and_the_recording_can_be_seeded(cli, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "interop", "live", "-", "--key", "key", "--listen", "127.0.0.1:0", "--json"]
    content = lines(20_000)
    sent, copy = 0, tmp_path / "copy"
    with subprocess.Popen(
        [*words, "--chunks", "lines", "--serve-after", "5"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as source:
        event = json.loads(source.stdout.readline())
        viewer = cli.start("fetch", event["uri"], "--peer", event["listen"], "-o", "copy", "--listen", "127.0.0.1:0")
        while not copy.exists() or copy.stat().st_size < 30_000:
            sent += source.stdin.write(content[sent : sent + 1000])
            source.stdin.flush()
            time.sleep(0.01)
        source.stdin.close()
        status, _, err = cli.finish(viewer)
        assert status == 0, err
        source.terminate()
    seen = copy.read_bytes()
    at = sent - len(seen)
    assert content[at:sent] == seen
    assert content[at - 1 : at] in (b"\n", b"")  # it tuned in where a line begins
    assert "0 chunks were not to be had" in err
    _, swarm = cli.seed(copy, "--boundaries", "copy.chunks")
    assert SwarmUri.parse(swarm["uri"]).metadata.chunk_count == len(read_sizes(tmp_path / "copy.chunks"))


def test_a_source_publishes_frames_by_the_api() -> None:
    """Each `publish` is a chunk, whatever its size."""
    key = LiveSigner.generate()
    uri = SwarmUri(
        SwarmMetadata(
            key.swarm_id,
            chunk_size=VARIABLE_CHUNK_SIZE,
            content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE,
        )
    )
    frames = [os.urandom(size) for size in (5000, 20, 700, 1) * 20]

    async def main() -> bytes:
        async with (
            LivePeer(uri, signer=key, chunks_per_signature=4, local=LOCAL) as source,
            LivePeer(uri, local=LOCAL, peers=[source.local_address[:2]], behind=1000) as viewer,
        ):

            async def produce() -> None:
                for frame in frames:
                    source.publish(frame)
                    await asyncio.sleep(0.002)
                source.end()

            async with asyncio.TaskGroup() as group:
                group.create_task(produce())
                return b"".join([octets async for octets in viewer.reader()])

    assert asyncio.run(asyncio.wait_for(main(), 60)) == b"".join(frames)
