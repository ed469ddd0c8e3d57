"""Live streams on real sockets: the API, the key file, and `ietf-p2p live` with `fetch --live`."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from interop.live import LivePeer
from interop.live_key import LiveKeyError, LiveKeyFile
from interop.live_source import LiveSourceError, live_source
from ppsp.constants import ContentIntegrityProtection, LiveSignatureAlgorithm
from ppsp.errors import StateError
from ppsp.events import PeerConnected
from ppsp.livekeys import LiveSigner
from ppsp.metadata import SwarmMetadata, SwarmUri

LOCAL = ("127.0.0.1", 0)
KEY = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE)
URI = SwarmUri(METADATA)
STATIC = "magnet:?xt=urn:ppspp:" + "00" * 32


def run(main):
    async def bounded():
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


# The API


def test_a_viewer_reads_what_the_source_publishes_up_to_the_end():
    content = os.urandom(300_000)

    async def main():
        connected = asyncio.Event()

        def heard(event):
            if isinstance(event, PeerConnected):
                connected.set()

        async with (
            LivePeer(URI, signer=KEY, local=LOCAL) as source,
            LivePeer(URI, local=LOCAL, peers=[source.local_address], behind=1024, on_event=heard) as viewer,
        ):
            read = asyncio.create_task(collect(viewer))
            await connected.wait()
            for at in range(0, len(content), 5000):
                source.publish(content[at : at + 5000])
                await asyncio.sleep(0.002)
            source.end()
            return await read

    assert run(main) == content


async def collect(viewer):
    return b"".join([octets async for octets in viewer.reader()])


def test_a_source_publishes_and_a_viewer_seeks():
    async def main():
        async with LivePeer(URI, local=LOCAL) as viewer:
            with pytest.raises(StateError):
                viewer.publish(b"x")
            viewer.seek(640)
            assert viewer.stream.position == 640
        async with LivePeer(URI, signer=KEY, local=LOCAL) as source:
            with pytest.raises(StateError):
                source.seek(0)

    run(main)


# The key file


def test_a_key_is_made_for_its_owner_only_and_found_again(tmp_path):
    path = tmp_path / "key"
    with LiveKeyFile(path, LiveSignatureAlgorithm.ED25519, 32) as made:
        assert path.stat().st_mode & 0o777 == 0o600
        assert made.first_chunk == 0
        with pytest.raises(LiveKeyError, match="another source"):
            LiveKeyFile(path, None, 32)
    with LiveKeyFile(path, None, 32) as found:
        assert found.signer.swarm_id == made.signer.swarm_id
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_key_of_openssl_will_do(tmp_path):
    path = tmp_path / "key"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    with LiveKeyFile(path, None, 32) as key:
        assert key.signer.algorithm == 13


def test_numbers_are_written_down_before_they_are_used(tmp_path):
    path = tmp_path / "key"
    with LiveKeyFile(path, None, 32) as key:
        key.used_up_to(100)
    with LiveKeyFile(path, None, 32) as killed:  # without `finish`: as after a kill
        assert killed.first_chunk >= 100
        assert killed.first_chunk % 32 == 0
        killed.used_up_to(killed.first_chunk + 10)
        killed.finish(killed.first_chunk + 10)
    with LiveKeyFile(path, None, 64) as key:
        assert killed.first_chunk + 10 <= key.first_chunk <= killed.first_chunk + 74
        assert key.first_chunk % 64 == 0


@pytest.mark.parametrize(
    ("mode", "key", "number", "reason"),
    [
        (0o644, None, None, "others may read"),
        (0o600, b"no key", None, "no private key"),
        (0o600, None, "many", "no chunk number"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused(tmp_path, mode, key, number, reason):
    path = tmp_path / "key"
    path.write_bytes(KEY.pem if key is None else key)
    path.chmod(mode)
    if number is not None:
        (tmp_path / "key.next").write_text(number)
    with pytest.raises(LiveKeyError, match=reason):
        LiveKeyFile(path, None, 32)
    with pytest.raises(LiveKeyError):
        LiveKeyFile(tmp_path / "missing" / "key", None, 32)


# Sources


def test_a_file_needs_a_rate_and_keeps_it(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(bytes(50_000))

    async def main():
        with pytest.raises(LiveSourceError, match="--rate"):
            await live_source(str(path), None)
        started = time.monotonic()
        pieces = [piece async for piece in await live_source(str(path), 1_000_000.0)]
        return sum(map(len, pieces)), time.monotonic() - started

    total, seconds = run(main)
    assert total == 50_000
    assert seconds > 0.35  # 0.4 s are due: a lower bound, whatever else the machine does


async def first_of(name):
    return await anext(await live_source(name, None))


@pytest.mark.parametrize("name", ["/no/such/file", "/", "tcp://", "udp://127.0.0.1", "tcp://127.0.0.1:99999"])
def test_a_source_that_is_none_is_one_line(name):
    async def main():
        with pytest.raises(LiveSourceError):
            await first_of(name)

    run(main)


@pytest.mark.parametrize(
    ("kind", "rate"), [("tcp", None), ("udp", None), ("udp", 800.0)], ids=["TCP", "UDP", "UDP at a pace"]
)
def test_a_source_may_be_a_port(kind, rate):
    """And a datagram stays one, however slow it goes: it may be a chunk."""
    with socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as probe:
        probe.bind(LOCAL)
        port = probe.getsockname()[1]

    async def main():
        pieces = await live_source(f"{kind}://127.0.0.1:{port}", rate)
        first = asyncio.ensure_future(anext(pieces))
        while not first.done():
            with (
                socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sender,
                suppress(ConnectionRefusedError),
            ):
                sender.connect(("127.0.0.1", port))
                sender.send(b"octets")
            await asyncio.sleep(0.02)
        octets = await first
        await pieces.aclose()
        return octets

    assert run(main) == b"octets"


# The command line


def start_live(cli, source, *words):
    process = cli.start("live", source, "--key", "key", "--listen", "127.0.0.1:0", *words)
    uri = cli.line(process).strip()
    while "broadcasting on " not in cli.stderr_of(process):
        time.sleep(0.02)
    address = cli.stderr_of(process).split("broadcasting on ")[1].split(",")[0]
    return process, uri, address


def test_a_broadcast_is_watched_into_a_file_and_into_a_pipe(cli, tmp_path):
    os.mkfifo(tmp_path / "film")
    film = os.open(tmp_path / "film", os.O_RDWR)
    source, uri, address = start_live(cli, "film", "--serve-after", "60", "--max-datagram", "0")
    first = cli.start("fetch", "--live", uri, "--peer", address, "-o", "copy", "--listen", "127.0.0.1:0")
    words = [sys.executable, "-m", "interop", "fetch", uri, "--peer", address, "-o", "-", "--listen", "127.0.0.1:0"]
    copy, sent, taken = tmp_path / "copy", b"", bytearray()
    with (
        open(tmp_path / "said", "w") as said,
        subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=said) as second,
    ):
        reader = threading.Thread(
            target=lambda: [taken.extend(part) for part in iter(lambda: second.stdout.read1(), b"")]
        )
        reader.start()
        while not copy.exists() or min(copy.stat().st_size, len(taken)) < 100_000:
            sent += os.urandom(4096)
            os.write(film, sent[-4096:])
            time.sleep(0.005)
        os.close(film)
        reader.join()
    assert second.returncode == 0, (tmp_path / "said").read_text()
    status, _, err = cli.finish(first)
    assert status == 0, err
    assert sent.endswith(copy.read_bytes())
    assert sent.endswith(taken)
    assert "0 chunks were not to be had" in err
    assert cli.stop(source, signal.SIGINT) == 130


def test_a_broadcast_ends_by_itself_when_it_was_served_for_a_while(cli, tmp_path):
    (tmp_path / "film").write_bytes(os.urandom(100_000))
    source, _, _ = start_live(cli, "film", "--rate", "100M", "--serve-after", "0.1")
    status, out, err = cli.finish(source)
    assert (status, out) == (0, "")
    assert "serving for 0.1 s more" in err


def test_a_source_that_is_killed_goes_on_and_its_viewers_with_it(cli, tmp_path):
    """SIGKILL, the same key, the same port: the viewer sees the new broadcast without being started again."""
    content = os.urandom(3_000_000)
    (tmp_path / "film").write_bytes(content)
    source, uri, address = start_live(cli, "film", "--rate", "4M")
    viewer = cli.start("fetch", uri, "--peer", address, "-o", "copy", "--listen", "127.0.0.1:0")
    while not (tmp_path / "copy").exists() or (tmp_path / "copy").stat().st_size < 200_000:
        time.sleep(0.05)
    source.send_signal(signal.SIGKILL)
    source.wait()
    (tmp_path / "film").write_bytes(b"again" * 100_000)
    again = cli.start("live", "film", "--key", "key", "--listen", address, "--rate", "4M", "--serve-after", "60")
    assert cli.line(again).strip() == uri
    status, _, err = cli.finish(viewer)
    assert status == 0, err
    copy = (tmp_path / "copy").read_bytes()
    at = copy.index(b"againagain")
    assert content.find(copy[: at - 4096][:4096]) >= 0
    assert (b"again" * 100_000).endswith(copy[at + 4 :])


def test_viewers_find_the_source_and_one_another_by_a_tracker_and_stdin_is_the_source(cli, tmp_path):
    _, url = cli.tracker()
    words = [sys.executable, "-m", "interop", "live", "-", "--key", "key", "--tracker", url, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*words, "--serve-after", "60"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
    ) as source:
        uri = source.stdout.readline().decode().strip()
        viewers = [cli.start("fetch", "--live", uri, "-o", name, "--listen", "127.0.0.1:0") for name in ("a", "b")]
        sent = b""
        copies = [tmp_path / name for name in ("a", "b")]
        while not all(copy.exists() and copy.stat().st_size > 100_000 for copy in copies):
            sent += os.urandom(4096)
            source.stdin.write(sent[-4096:])
            source.stdin.flush()
            time.sleep(0.005)
        source.stdin.close()
        for viewer in viewers:
            status, _, err = cli.finish(viewer)
            assert status == 0, err
        source.send_signal(signal.SIGINT)
        assert source.wait(60) == 130
    for copy in copies:
        assert sent.endswith(copy.read_bytes())


def test_ctrl_c_ends_a_broadcast_and_a_viewer_cleanly(cli, tmp_path):
    (tmp_path / "film").write_bytes(os.urandom(3_000_000))
    source, uri, address = start_live(cli, "film", "--rate", "2M")
    viewer = cli.start("fetch", uri, "--peer", address, "-o", "copy", "--listen", "127.0.0.1:0")
    while not (tmp_path / "copy").exists() or not (tmp_path / "copy").stat().st_size:
        time.sleep(0.05)
    for process in (viewer, source):
        assert cli.stop(process, signal.SIGINT) == 130
        assert "Traceback" not in cli.stderr_of(process)
    used = int((tmp_path / "key.next").read_text())
    assert 0 < used < 3000  # exactly what was used, and a munro: nothing was skipped


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["live", "film", "--key", "key"], "say --rate"),
        (["live", "-", "--key", "key"], "say --rate"),  # its stdin is /dev/null
        (["live", "nothing", "--key", "key", "--rate", "1M"], "No such file"),
        (["live", "film", "--key", "/no/such/folder/key", "--rate", "1M"], "No such file"),
        (["live", "film", "--key", "key", "--rate", "fast"], "not a rate"),
        (["live", "film", "--key", "key", "--rate", "1M", "--chunks-per-signature", "33"], "power of 2"),
        (["live", "film", "--key", "key", "--rate", "1M", "--window", "16"], "--window"),
        (
            ["fetch", "--live", "magnet:?xt=urn:ppspp:" + "00" * 32, "--peer", "127.0.0.1:9", "-o", "x"],
            "static content",
        ),
        (["fetch", str(URI), "--peer", "127.0.0.1:9", "-o", "film"], "is there already"),
        (["fetch", str(URI), "--peer", "127.0.0.1:9", "-o", "-", "--json"], "--json"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:20],
)
def test_a_mistake_is_one_line(cli, tmp_path, words, reason):
    (tmp_path / "film").write_bytes(b"x" * 100_000)
    status, out, err = cli.run(*words)
    assert (status, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1


def test_a_viewer_is_told_that_the_stream_is_old(cli):
    """The source's signatures are a minute old: its clock is wrong, or nothing follows."""

    async def main():
        async with LivePeer(URI, signer=KEY, local=LOCAL) as source:
            source.stream.publish(bytes(32 * 1024), time.monotonic() - 60)
            host, port = source.local_address
            words = ["fetch", str(URI), "--peer", f"{host}:{port}", "-o", "copy", "--timeout", "4"]
            return await asyncio.to_thread(cli.run, *words)

    status, _, err = run(main)
    assert status == 1
    assert err.count("older than 30 s") == 1


def test_a_stream_that_does_not_come_is_waited_for_only_so_long(cli):
    status, _, err = cli.run("fetch", str(URI), "--peer", "127.0.0.1:9", "-o", "copy", "--timeout", "0.5")
    assert status == 1
    assert "nothing came for 0.5 s" in err
