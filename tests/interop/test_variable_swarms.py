"""Swarms of chunks of variable size as real processes on loopback: seed, fetch, play and live."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from ppsp_chunks import served
from ppsp_gateway import curl

from interop.__main__ import main
from interop.chunk_reading import ChunkReader
from interop.chunk_sizes import line_sizes, read_sizes
from interop.live import LivePeer
from interop.membership_keys import read_issuer
from interop.peer import SwarmPeer
from interop.reading import SwarmReader
from interop.sequential_gateway import SequentialGateway
from ppsp import LiveSigner, PublishedChunks, Sequential, SwarmUri, publish_chunks
from ppsp.constants import VARIABLE_CHUNK_SIZE, ContentIntegrityProtection
from ppsp.metadata import SwarmMetadata
from ppsp.store import MemoryChunks, MemoryStore

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


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys):
    """Runs `ietf-p2p` in this process, in the folder of the test; returns its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return (status, *capsys.readouterr())

    return run


def cut_by_lines(path: Path) -> PublishedChunks:
    """The swarm of a file that `seed --boundaries lines` makes of it."""
    content, chunks, at = path.read_bytes(), [], 0
    with path.open("rb") as file:
        for size in line_sizes(file.fileno(), 1024):
            chunks.append(content[at : at + size])
            at += size
    return publish_chunks(chunks)


def fetching(uri: str, name: str, peer: str, *more: str) -> list[str]:
    """The words of a fetch."""
    return ["fetch", uri, "-o", name, "--peer", peer, "--listen", "127.0.0.1:0", "--json", "--timeout", "60", *more]


def test_lines_are_fetched_and_the_copy_can_be_served_on(cli, run, log: Path, tmp_path: Path) -> None:
    source, swarm = cli.seed(log, "--boundaries", "lines")
    assert swarm["uri"].split("&dn")[0] in str(SwarmUri(cut_by_lines(log).metadata))
    metadata = SwarmUri.parse(swarm["uri"]).metadata
    assert metadata.chunk_size == VARIABLE_CHUNK_SIZE
    status, out, err = run(*fetching(swarm["uri"], "a", swarm["listen"]))
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["octets"] == log.stat().st_size
    assert (tmp_path / "a").read_bytes() == log.read_bytes()
    sizes = read_sizes(tmp_path / "a.chunks")
    assert len(sizes) == metadata.chunk_count
    assert max(sizes) <= 1024
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]
    cli.stop(source, signal.SIGKILL)
    # The copy is verified by its list, and serves another at the place of the source.
    words = ["--seed-after", "50", "--json", "--listen", swarm["listen"], "--peer", "127.0.0.1:9"]
    again = cli.start("fetch", swarm["uri"], "-o", "a", *words)
    assert cli.completed(again)["resumed"] == log.stat().st_size
    status, _, err = run(*fetching(swarm["uri"], "c", swarm["listen"]))
    assert status == 0, err
    assert (tmp_path / "c").read_bytes() == log.read_bytes()


def test_a_list_of_sizes_says_where_the_chunks_end(cli, run, tmp_path: Path) -> None:
    frames = [os.urandom(size) for size in (1, 60_000, 900, 1400, 3, 7000) * 5]
    (tmp_path / "film").write_bytes(b"".join(frames))
    (tmp_path / "frames").write_text("".join(f"{len(frame)}\n" for frame in frames))
    _, swarm = cli.seed(tmp_path / "film", "--boundaries", "frames", "--addressing", "bin32", "--hash", "sha1")
    status, _, err = run(*fetching(swarm["uri"], "copy", swarm["listen"]))
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == b"".join(frames)
    assert (tmp_path / "copy.chunks").read_text() == (tmp_path / "frames").read_text()


def test_a_killed_fetch_goes_on_where_it_was(cli, run, log: Path, tmp_path: Path) -> None:
    published = cut_by_lines(log)
    with served(published, upload_rate=60_000) as (uri, peer):
        first = cli.start(*fetching(uri, "copy", peer))
        while (event := json.loads(cli.line(first))).get("octets", 0) < 60_000:
            pass
        assert 0 < event["chunks"] < event["chunk_count"] == published.metadata.chunk_count
        assert cli.stop(first, signal.SIGKILL) == -signal.SIGKILL
        status, out, err = run(*fetching(uri, "copy", peer))
    assert status == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["resumed"] > 10_000
    assert sum(peer["octets"] for peer in report["peers"]) == log.stat().st_size - report["resumed"]
    assert "resuming: " in err
    assert (tmp_path / "copy").read_bytes() == log.read_bytes()


def test_a_file_whose_chunks_nobody_can_tell_is_left_alone(run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(log.read_bytes())
    with served(cut_by_lines(log)) as (uri, peer):
        status, _, err = run(*fetching(uri, "copy", peer))
        assert status == 2
        assert err.splitlines()[-1] == (
            "ietf-p2p: copy is there, and nothing tells where its chunks end without copy.chunks (--force replaces it)"
        )
        (tmp_path / "copy.chunks").write_text("5\nfive\n")
        status, _, err = run(*fetching(uri, "copy", peer))
        assert status == 2
        assert err.splitlines()[-1] == (
            "ietf-p2p: copy.chunks: line 2 is not a number of octets from 1 to 60000 (--force replaces copy)"
        )
        (tmp_path / "copy.chunks").write_text("5\n")
        status, _, err = run(*fetching(uri, "copy", peer))
        assert status == 2
        assert err.splitlines()[-1] == (
            "ietf-p2p: copy is there and, cut as copy.chunks says, has other content (--force replaces it)"
        )
        status, _, err = run(*fetching(uri, "copy", peer, "--force"))
        assert status == 0, err
    assert len(read_sizes(tmp_path / "copy.chunks")) > 2


def test_a_file_of_the_users_at_the_place_of_the_list_is_left_alone(run, tmp_path: Path) -> None:
    (tmp_path / "copy.chunks").write_text("my notes")
    status, _, err = run(*fetching(str(SwarmUri(publish_chunks([b"a"]).metadata)), "copy", "127.0.0.1:9"))
    assert (status, err.splitlines()[-1]) == (
        2,
        "ietf-p2p: copy.chunks, where the sizes of the chunks are to be listed, is another file (--force starts anew)",
    )
    status, _, err = run(*fetching(str(SwarmUri(live_metadata(LiveSigner.generate()))), "copy", "127.0.0.1:9"))
    assert (status, err.splitlines()[-1]) == (
        2,
        "ietf-p2p: copy.chunks, where the sizes of the chunks are to be listed, is another file (--force replaces it)",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["copy.chunks"]
    assert (tmp_path / "copy.chunks").read_text() == "my notes"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--boundaries", "lines", "--addressing", "byte64"], "byte ranges cannot name chunks of variable size"),
        (["--boundaries", "nowhere"], "nowhere: No such file or directory"),
        (["--boundaries", "events.log"], "events.log: events.log: line 1 is not a number of octets"),
        (["--boundaries", "short"], "events.log: the chunks have 5 octets together, the file has "),
        (["events.log", "--boundaries", "short"], "--boundaries FILE is for one file, this is several"),
        (["--boundaries", "short", "--chunk-size", "2000"], "--chunk-size says nothing where --boundaries FILE has"),
        (["--boundaries", "."], ".: Is a directory"),
    ],
    ids=["byte ranges", "no list", "another file", "wrong sizes", "several files", "two sizes", "folder"],
)
def test_a_mistake_is_one_line(run, log: Path, tmp_path: Path, words: list[str], reason: str) -> None:
    (tmp_path / "short").write_text("5\n")
    status, out, err = run("seed", log.name, *words)
    assert (status, out) == (2, "")
    assert reason in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing", "nothing: the file is empty, and RFC 7574 has no swarm for content of no octets"),
        ("-", "-: No such file or directory"),
        (os.devnull, f"{os.devnull}: only a regular file can be a swarm"),
    ],
    ids=["empty", "stdin", "device"],
)
def test_what_has_no_lines_to_publish_is_refused_in_one_line(run, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "nothing").touch()
    status, _, err = run("seed", name, "--boundaries", "lines")
    assert (status, err.splitlines()[-1]) == (2, f"ietf-p2p: {reason}")


def test_a_peer_of_such_a_swarm_is_certified(run, tmp_path: Path) -> None:
    """The issuer meets it first, as everywhere."""
    assert run("pex", "key", "ca.pem")[0] == 0
    published = publish_chunks([b"a" * 100] * 20)
    metadata = attrs.evolve(published.metadata, membership_key=read_issuer(tmp_path / "ca.pem").public_key)
    with served(attrs.evolve(published, metadata=metadata)) as (uri, peer):
        status, out, err = run("pex", "issue", "ca.pem", uri, peer, "--timeout", "60")
    assert status == 0, err
    assert out.startswith("-----BEGIN CERTIFICATE-----\n")


# Reading


def test_a_player_reads_it_from_the_first_octet_on_without_ranges(cli, log: Path, tmp_path: Path) -> None:
    with served(cut_by_lines(log), upload_rate=1e6) as (uri, peer):
        words = ["play", uri, "-o", "copy", "--listen", "127.0.0.1:0", "--peer", peer]
        _plays(cli, words, log, tmp_path)
    # Once more, from the copy.
    process = cli.start(*words)
    assert httpx.get(cli.line(process).strip()).content == log.read_bytes()


def _plays(cli, words: list[str], log: Path, tmp_path: Path) -> None:
    process = cli.start(*words)
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


def test_the_reader_of_the_other_kind_of_content_is_refused() -> None:
    metadata = publish_chunks([b"a"]).metadata
    with pytest.raises(ValueError, match="take a ChunkReader"):
        SwarmReader(SwarmPeer(SwarmUri(metadata), MemoryChunks()))
    with pytest.raises(ValueError, match="take a SwarmReader"):
        ChunkReader(SwarmPeer(SwarmUri(SwarmMetadata(metadata.swarm_id)), MemoryStore()))


# Live


def live_metadata(key: LiveSigner) -> SwarmMetadata:
    return SwarmMetadata(
        key.swarm_id, chunk_size=VARIABLE_CHUNK_SIZE, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE
    )


def test_a_datagram_is_a_chunk_of_a_live_stream(cli) -> None:
    """As a camera sends it: seven MPEG-TS packets a datagram, and shorter ones now and then."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(LOCAL)
        camera = probe.getsockname()
    words = ["--key", "key", "--listen", "127.0.0.1:0", "--json", "--chunks", "reads", "--chunks-per-signature", "8"]
    event = json.loads(cli.line(cli.start("live", f"udp://127.0.0.1:{camera[1]}", *words)))
    uri = SwarmUri.parse(event["uri"])
    assert uri.metadata.is_live
    assert uri.metadata.is_variable
    host, port = event["listen"].rsplit(":", 1)
    sent: list[bytes] = []
    seen: list[bytes] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=camera)
        async with LivePeer(uri, local=LOCAL, peers=[(host, int(port))]) as viewer:

            async def produce() -> None:
                while True:
                    packets = 2 if len(sent) % 5 == 4 else 7
                    sent.append(b"G%07d" % len(sent) + os.urandom(packets * 188 - 8))
                    sender.sendto(sent[-1])
                    await asyncio.sleep(0.005)

            producing = asyncio.ensure_future(produce())
            while len(seen) < 80:
                seen.extend(await viewer.read_chunks())
            producing.cancel()
        sender.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    first = sent.index(seen[0])
    assert seen == sent[first : first + len(seen)]  # whole datagrams, each as it was sent


def test_lines_are_broadcast_up_to_the_proven_end_and_the_recording_can_be_seeded(cli, run, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "interop", "live", "-", "--key", "key", "--listen", "127.0.0.1:0", "--json"]
    content = lines(20_000)
    sent, copy = 0, tmp_path / "copy"
    with subprocess.Popen(
        [*words, "--chunks", "lines", "--serve-after", "5"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as source:

        def feed() -> None:
            nonlocal sent
            while not copy.exists() or copy.stat().st_size < 30_000:
                sent += source.stdin.write(content[sent : sent + 1000])
                source.stdin.flush()
                time.sleep(0.01)
            listed.append(sum(read_sizes(tmp_path / "copy.chunks")))
            source.stdin.close()

        listed: list[int] = []
        event = json.loads(source.stdout.readline())
        feeder = threading.Thread(target=feed)
        feeder.start()
        status, _, err = run("fetch", event["uri"], "--peer", event["listen"], "-o", "copy", "--listen", "127.0.0.1:0")
        feeder.join()
        assert status == 0, err
        source.terminate()
    seen = copy.read_bytes()
    at = sent - len(seen)
    assert content[at:sent] == seen
    assert content[at - 1 : at] in (b"\n", b"")  # it tuned in where a line begins
    assert "0 chunks were not to be had" in err
    assert listed[0] > 0  # a kill would have left it
    _, swarm = cli.seed(copy, "--boundaries", "copy.chunks")
    assert SwarmUri.parse(swarm["uri"]).metadata.chunk_count == len(read_sizes(tmp_path / "copy.chunks"))


def test_a_source_publishes_frames_by_the_api() -> None:
    """Each `publish` is a chunk, whatever its size."""
    key = LiveSigner.generate()
    uri = SwarmUri(live_metadata(key))
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
