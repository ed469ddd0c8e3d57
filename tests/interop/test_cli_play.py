"""`ietf-p2p play`: a gateway to a file that is being fetched, as real processes on loopback."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from ppsp_gateway import curl

from interop.filestore import PartialFile
from ppsp import MerkleHashFunction, MerkleTree, SwarmUri, hash_chunks

_SIZE = 3_000_077


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(_SIZE))
    return path


def _play(cli: Any, uri: str, *words: str) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = cli.start("play", uri, "-o", "copy", "--listen", "127.0.0.1:0", *words)
    return process


def _started(cli: Any, process: subprocess.Popen[str]) -> dict[str, str]:
    while (event := json.loads(cli.line(process)))["event"] != "playing":
        pass
    found: dict[str, str] = event
    return found


def test_a_player_reads_what_another_process_seeds_and_ctrl_c_is_clean(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content)
    process = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--max-datagram", "9000")
    url = cli.line(process).strip()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/film.mp4")
    assert curl(url) == content.read_bytes()
    assert curl("-r", "5-9", url) == content.read_bytes()[5:10]
    deadline = time.monotonic() + 60
    while "copy: 3.0 MB complete and verified" not in cli.stderr_of(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    with httpx.stream("GET", url):  # a player that is connected does not hold it up
        assert cli.stop(process, signal.SIGINT) == 130
    assert process.stdout.read() == ""  # the URL was all
    err = cli.stderr_of(process)
    assert "Traceback" not in err
    assert "copy: 3.0 MB complete and verified" in err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_a_seek_comes_first_and_a_stopped_play_is_resumed(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content, "--upload-limit", "1M")
    process = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--json")
    started = _started(cli, process)
    assert curl("-r", "2000000-2000099", started["url"]) == content.read_bytes()[2_000_000:2_000_100]
    stats = json.loads(curl(started["stats"]))
    assert 0 < stats["verified"] < 0.6
    cli.until(process, 700_000)
    assert cli.stop(process, signal.SIGTERM) == 143
    again = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--json")
    assert curl(_started(cli, again)["url"]) == content.read_bytes()
    assert "resuming: " in cli.stderr_of(again)
    while json.loads(cli.line(again))["event"] != "complete":
        pass
    assert not (tmp_path / "copy.part").exists()


def test_a_file_that_is_complete_is_played_and_served(cli, content: Path, tmp_path: Path) -> None:
    source, swarm = cli.seed(content)
    cli.stop(source, signal.SIGKILL)
    (tmp_path / "copy").write_bytes(content.read_bytes())
    process = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--json")
    assert curl(_started(cli, process)["url"]) == content.read_bytes()
    assert cli.stop(process, signal.SIGINT) == 130


def test_a_player_is_run_with_the_url_and_its_end_is_the_end(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content)
    process = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--player", "curl -s -o seen")
    assert cli.finish(process)[0] == 0
    assert (tmp_path / "seen").read_bytes() == content.read_bytes()
    status, _, err = cli.finish(_play(cli, swarm["uri"], "--peer", swarm["listen"], "--player", "false"))
    assert (status, err.splitlines()[-1]) == (1, "ietf-p2p: the player ended with status 1")
    status, _, err = cli.finish(_play(cli, swarm["uri"], "--peer", swarm["listen"], "--player", "no-such-player"))
    assert (status, err.splitlines()[-1]) == (2, "ietf-p2p: --player no-such-player: No such file or directory")


def test_several_trackers_may_be_named_and_one_of_them_may_be_dead(cli, content: Path) -> None:
    _, first = cli.tracker()
    dead, second = cli.tracker()
    cli.stop(dead, signal.SIGKILL)
    source = cli.start("seed", content, "--tracker", first, "--listen", "127.0.0.1:0")
    uri = cli.line(source).strip().split("&tr=")[0]
    process = _play(cli, uri, "--tracker", second, "--tracker", first, "--json")
    assert curl(_started(cli, process)["url"]) == content.read_bytes()


def test_a_journal_without_the_last_block_starts_anew(cli, content: Path, tmp_path: Path) -> None:
    """Nothing proves the number of chunks then (RFC 7574 section 5.6); it must not be a crash."""
    _, swarm = cli.seed(content)
    uri = SwarmUri.parse(swarm["uri"])
    octets = content.read_bytes()
    whole = MerkleTree.from_leaves(hash_chunks(octets, 1024, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
    partial = PartialFile(tmp_path / "copy", uri)
    tree = partial.resume(lambda done, total: None).tree
    hashes = {(start, end): known for start, end, known in whole.peaks()}
    for chunk in range(64):
        uncles = {(a, b): known for a, b, known in whole.uncles(chunk, left=-1, right=1 << 62)}
        tree.verify(chunk, octets[chunk * 1024 : (chunk + 1) * 1024], hashes | uncles)
    partial.store.write(0, octets[:65536])
    partial.verified(0, 64)
    partial.flush(tree)
    partial.close()
    process = _play(cli, swarm["uri"], "--peer", swarm["listen"], "--json")
    assert curl(_started(cli, process)["url"]) == octets


def test_a_disk_that_fills_is_told_and_ends_it(cli, content: Path) -> None:
    _, swarm = cli.seed(content)

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    words = ("-o", "copy", "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    status, _, err = cli.run("play", swarm["uri"], *words, setup=fill_the_disk)
    assert status == 1
    assert err.splitlines()[-1] == "ietf-p2p: cannot write copy.part: File too large"
    assert "Traceback" not in err


def test_a_live_stream_is_played_until_it_ends(cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "talk")
    talk = os.open(tmp_path / "talk", os.O_RDWR)
    source = cli.start("live", "talk", "--key", "key", "--listen", "127.0.0.1:0", "--serve-after", "60")
    uri = cli.line(source).strip()
    while "broadcasting on " not in cli.stderr_of(source):
        time.sleep(0.02)
    address = cli.stderr_of(source).split("broadcasting on ")[1].split(",")[0]
    process = cli.start("play", uri, "--peer", address, "--listen", "127.0.0.1:0", "--player", "curl -s -o seen")
    content, copy = b"", tmp_path / "seen"
    while not copy.exists() or copy.stat().st_size < 100_000:
        content += os.urandom(4096)
        os.write(talk, content[-4096:])
        time.sleep(0.005)
    os.close(talk)
    status, out, err = cli.finish(process)
    assert (status, out.count("\n")) == (0, 1), err
    assert content.endswith(copy.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("stderr")) == [
        "key",
        "key.next",
        "seen",
        "talk",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "the URI names no tracker: say --tracker URL or --peer HOST:PORT"),
        (("--gateway", "x"), "Invalid value for '--gateway': 'x' is not HOST:PORT"),
        (("--tracker", "ftp://x/"), "is not a tracker's URL"),
        (("--download-limit", "fast", "--peer", "127.0.0.1:1"), "is not a rate in octets a second"),
        (("--gateway", "192.0.2.1:1", "--peer", "127.0.0.1:1"), "cannot listen on 192.0.2.1 port 1: "),
    ],
)
def test_a_mistake_is_told_in_one_line(cli, words: tuple[str, ...], said: str) -> None:
    status, out, err = cli.run("play", f"magnet:?xt=urn:ppspp:{'ab' * 32}&dn=x", *words)
    assert (status, out) == (2, "")
    assert err.startswith("ietf-p2p: ")
    assert err.count("\n") == 1
    assert said in err
