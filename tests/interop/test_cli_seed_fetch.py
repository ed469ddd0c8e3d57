"""`ietf-p2p seed` and `fetch`: real processes on loopback, some of which die."""

import json
import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from interop.filestore import PartialFile
from interop.resume import HeldContent
from ppsp.metadata import SwarmUri

_MB = 1_000_000


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return _content(tmp_path, 3 * _MB + 77)


def _content(folder: Path, size: int) -> Path:
    path = folder / "content.bin"
    path.write_bytes(os.urandom(size))
    return path


def _is_one_line(text: str) -> bool:
    return text.startswith("ietf-p2p: ") and text.count("\n") == 1 and text.endswith("\n")


def _held(target: Path, uri: str) -> HeldContent:
    """The chunks that a resumed fetch will find, without the file being changed."""
    partial = PartialFile(target, SwarmUri.parse(uri))
    try:
        return partial.resume(lambda done, total: None)
    finally:
        partial.close()


def test_two_fetches_end_byte_identical_and_the_uri_is_one_line(cli, content: Path, tmp_path: Path) -> None:
    _, url = cli.tracker()
    source = cli.start("seed", content, "--tracker", url, "--listen", "127.0.0.1:0")
    uri = cli.line(source).strip()
    fetches = [cli.start("fetch", uri, "-o", name, "--listen", "127.0.0.1:0") for name in ("a", "b")]
    for name, process in zip(("a", "b"), fetches, strict=True):
        status, out, err = cli.finish(process)
        assert status == 0, err
        assert out.startswith(f"{name}: 3.0 MB complete and verified, ")
        assert out.endswith("0 chunks failed verification\n")
        assert (tmp_path / name).read_bytes() == content.read_bytes()
        assert not (tmp_path / f"{name}.part").exists()
        assert not (tmp_path / f"{name}.part.hashes").exists()
    assert cli.stop(source, signal.SIGINT) == 130
    assert source.stdout.read() == ""  # the URI was all
    assert "Traceback" not in cli.stderr_of(source)


@pytest.mark.parametrize("size", [1, 1024, 1025])
@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_the_smallest_files_are_swarms_too(cli, tmp_path: Path, size: int, hash_name: str) -> None:
    content = _content(tmp_path, size)
    _, swarm = cli.seed(content, "--hash", hash_name)
    status, out, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["octets"] == size
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_a_file_of_no_octets_is_refused_in_one_sentence(cli, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    status, out, err = cli.run("seed", "empty")
    assert (status, out) == (2, "")
    assert err == "ietf-p2p: empty: the file is empty, and RFC 7574 has no swarm for content of no octets\n"


def test_other_chunk_sizes_travel_in_the_uri(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content, "--chunk-size", "8000")
    assert "x.cs=8000" in swarm["uri"]
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


@pytest.mark.parametrize(("addressing", "hash_name"), [("bin32", "sha512"), ("byte64", "sha224"), ("bin64", "sha384")])
def test_other_addressing_methods_and_hash_functions_travel_in_the_uri(
    cli, content: Path, tmp_path: Path, addressing: str, hash_name: str
) -> None:
    _, swarm = cli.seed(content, "--addressing", addressing, "--hash", hash_name, "--pex")
    assert "x.mhf=" in swarm["uri"]
    assert "x.cam=" in swarm["uri"]
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"], "--pex"))
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_a_killed_fetch_resumes_and_a_wrong_octet_is_fetched_again(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content, "--upload-limit", "2M")
    first = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    cli.until(first, 1_500_000)
    assert cli.stop(first, signal.SIGKILL) == -signal.SIGKILL
    held = _held(tmp_path / "copy", swarm["uri"])
    assert held.octets > 500_000
    victim = next(iter(held.have))[0] * 1024 + 5000
    with open(tmp_path / "copy.part", "r+b") as part:
        part.seek(victim)
        octet = part.read(1)[0]
        part.seek(victim)
        part.write(bytes([octet ^ 1]))
    status, out, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    report = json.loads(out.splitlines()[-1])
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()
    assert report["chunks_refused_on_disk"] == 16  # one block of the journal
    assert report["resumed"] == held.octets - 16 * 1024
    fetched = sum(peer["octets"] for peer in report["peers"])
    assert fetched == content.stat().st_size - report["resumed"]
    assert "16 chunks are not right any more" in err


def test_a_fetch_that_was_stopped_says_how_to_go_on_and_does(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content, "--upload-limit", "1M")
    status, _, err = cli.finish(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"], "--timeout", "2"))
    assert status == 1
    assert err.splitlines()[-1].startswith("ietf-p2p: not complete after 2 s: ")
    assert err.endswith("kept, the same command goes on from there\n")
    again = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    assert cli.completed(again)["resumed"] > 0
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_an_interrupted_fetch_ends_with_130_and_keeps_what_it_has(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content, "--upload-limit", "1M")
    fetch = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    cli.until(fetch, 500_000)
    assert cli.stop(fetch, signal.SIGINT) == 130
    assert "Traceback" not in cli.stderr_of(fetch)
    fetch = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    cli.until(fetch, 800_000)
    assert cli.stop(fetch, signal.SIGTERM) == 143
    assert "resuming: " in cli.stderr_of(fetch)


def test_the_death_of_one_peer_does_not_stop_the_other(cli, content: Path, tmp_path: Path) -> None:
    _, url = cli.tracker()
    _, swarm = cli.seed(content, "--tracker", url, "--upload-limit", "1M")
    first, second = (cli.fetch(swarm["uri"], name) for name in ("a", "b"))
    cli.until(first, 700_000)
    cli.stop(first, signal.SIGKILL)
    status, _, err = cli.finish(second)
    assert status == 0, err
    assert (tmp_path / "b").read_bytes() == content.read_bytes()


def test_the_swarm_goes_on_when_the_source_dies_and_the_swarm_holds_everything(
    cli, content: Path, tmp_path: Path
) -> None:
    _, url = cli.tracker()
    source, swarm = cli.seed(content, "--tracker", url)
    keeper = cli.fetch(swarm["uri"], "a", "--seed-after", "60", "--upload-limit", "2M")
    cli.completed(keeper)
    late = cli.fetch(swarm["uri"], "b", "--upload-limit", "1M")
    cli.until(late, 100_000)
    cli.stop(source, signal.SIGKILL)
    status, _, err = cli.finish(late)
    assert status == 0, err
    assert (tmp_path / "b").read_bytes() == content.read_bytes()
    last, _, err = cli.finish(cli.fetch(swarm["uri"], "c"))
    assert last == 0, err
    assert (tmp_path / "c").read_bytes() == content.read_bytes()


def test_peers_finish_after_the_tracker_is_gone(cli, content: Path, tmp_path: Path) -> None:
    tracker, url = cli.tracker()
    _, swarm = cli.seed(content, "--tracker", url, "--upload-limit", "2M")
    fetch = cli.fetch(swarm["uri"], "copy")
    cli.until(fetch, 500_000)
    cli.stop(tracker, signal.SIGKILL)
    status, _, err = cli.finish(fetch)
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_a_full_disk_is_one_line_and_loses_nothing(cli, content: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: writing beyond it fails the same way, without a mount."""
    _, swarm = cli.seed(content, "--upload-limit", "2M")
    first = cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"])
    cli.until(first, 1_000_000)
    cli.stop(first, signal.SIGKILL)
    held = _held(tmp_path / "copy", swarm["uri"]).octets

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    words = ("-o", "copy", "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    status, out, err = cli.run("fetch", swarm["uri"], *words, setup=fill_the_disk)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("ietf-p2p: cannot write copy.part: File too large: ")
    assert err.endswith("kept, the same command goes on from there\n")
    report = cli.completed(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert report["resumed"] >= held > 0
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


def test_an_upload_limit_is_kept(cli, content: Path) -> None:
    _, swarm = cli.seed(content, "--upload-limit", "1M")
    started = time.monotonic()
    report = cli.completed(cli.fetch(swarm["uri"], "copy", "--peer", swarm["listen"]))
    assert report["seconds"] > 2.5
    assert time.monotonic() - started < 60


def test_the_longest_datagram_may_be_said(cli, content: Path) -> None:
    _, swarm = cli.seed(content, "--max-datagram", "9000")
    cli.completed(cli.fetch(swarm["uri"], "a", "--peer", swarm["listen"], "--max-datagram", "0"))
    for octets, problem in (("65508", "65508 is not in the range"), ("547", "547 is below 548")):
        status, _, err = cli.run("fetch", swarm["uri"], "-o", "b", "--max-datagram", octets)
        assert status == 2
        assert problem in err


def test_what_is_complete_already_is_verified_and_left(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content)
    (tmp_path / "copy").write_bytes(content.read_bytes())
    before = (tmp_path / "copy").stat()
    status, out, _ = cli.run("fetch", swarm["uri"], "-o", "copy", "--peer", "127.0.0.1:1")
    assert status == 0
    assert out.startswith("copy: 3.0 MB complete and verified, 3.0 MB of it were there")
    assert (tmp_path / "copy").stat().st_mtime_ns == before.st_mtime_ns


def test_other_content_is_replaced_only_by_force(cli, content: Path, tmp_path: Path) -> None:
    _, swarm = cli.seed(content)
    (tmp_path / "copy").write_bytes(b"precious")
    words = ("-o", "copy", "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    status, out, err = cli.run("fetch", swarm["uri"], *words)
    assert (status, out) == (2, "")
    assert err == "ietf-p2p: copy is there and has other content (--force replaces it)\n"
    assert (tmp_path / "copy").read_bytes() == b"precious"
    status, _, err = cli.run("fetch", swarm["uri"], *words, "--force")
    assert status == 0, err
    assert (tmp_path / "copy").read_bytes() == content.read_bytes()


@pytest.mark.parametrize(
    ("output", "said"),
    [("nowhere/copy", "No such file or directory"), (".", "not a regular file"), ("/proc/copy", "/proc/copy.part")],
)
def test_an_output_that_cannot_be_written_is_a_mistake(cli, output: str, said: str) -> None:
    uri = "magnet:?xt=urn:ppspp:" + "5a" * 32
    status, out, err = cli.run("fetch", uri, "-o", output, "--peer", "127.0.0.1:1")
    assert (status, out) == (2, "")
    assert _is_one_line(err)
    assert said in err


def test_a_used_port_is_a_mistake(cli, content: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert cli.run("seed", content, "--listen", address) == (
            2,
            "",
            f"ietf-p2p: --listen {address}: Address already in use\n",
        )
        uri = "magnet:?xt=urn:ppspp:" + "5a" * 32
        status, _, err = cli.run("fetch", uri, "-o", "copy", "--listen", address, "--peer", "127.0.0.1:1")
        assert (status, err) == (2, f"ietf-p2p: --listen {address}: Address already in use\n")


def test_a_tracker_out_of_reach_is_a_mistake_unless_a_peer_is_named(cli, content: Path, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        status, out, err = cli.run("seed", content, "--tracker", url)
        assert (status, out) == (2, "")
        assert _is_one_line(err)
        assert url in err
        uri = "magnet:?xt=urn:ppspp:" + "5a" * 32 + f"&tr={url}"
        status, out, err = cli.run("fetch", uri, "-o", "copy")
        assert (status, out) == (2, "")
        assert _is_one_line(err)
        assert list(tmp_path.glob("copy*")) == []
        _, swarm = cli.seed(content)
        status, _, err = cli.finish(cli.fetch(f"{swarm['uri']}&tr={url}", "copy", "--peer", swarm["listen"]))
        assert status == 0, err


def test_a_tracker_elsewhere_is_asked_over_https_alone_unless_plain_http_is_allowed(
    cli, content: Path, tmp_path: Path
) -> None:
    """RFC 7846 section 6.1: TLS MUST be used in the communication between peers and tracker"""
    url = "http://192.0.2.1:9/"
    uri = "magnet:?xt=urn:ppspp:" + "5a" * 32 + f"&tr={url}"
    for words in (
        ["seed", content, "--tracker", url],
        ["live", content, "--key", "key", "--rate", "1M", "--tracker", url],
        ["play", uri.partition("&tr=")[0], "-o", "copy", "--tracker", url],
        ["play", uri, "-o", "copy"],
        ["fetch", uri, "-o", "copy"],
    ):
        status, out, err = cli.run(*words)
        assert (status, "--insecure-tracker" in err) == (2, True), err
        assert _is_one_line(out + err), (out, err)
    _, swarm = cli.seed(content)
    words = ("--peer", swarm["listen"])
    status, _, err = cli.finish(cli.fetch(f"{swarm['uri']}&tr={url}", "copy", *words))
    assert status == 0, err
    assert f"not asked: tracker '{url}'" in err
    status, _, err = cli.finish(cli.fetch(f"{swarm['uri']}&tr={url}", "other", *words, "--insecure-tracker"))
    assert status == 0, err
    assert "not asked" not in err


def test_a_peer_without_an_address_is_a_mistake(cli) -> None:
    uri = "magnet:?xt=urn:ppspp:" + "5a" * 32
    status, _, err = cli.run("fetch", uri, "-o", "copy", "--peer", "no-such-host.invalid:7000")
    assert status == 2
    assert _is_one_line(err)


def test_a_swarm_without_peers_times_out_in_one_line_and_leaves_nothing(cli, tmp_path: Path) -> None:
    uri = "magnet:?xt=urn:ppspp:" + "5a" * 32
    status, out, err = cli.run("fetch", uri, "-o", "copy", "--peer", "127.0.0.1:1", "--timeout", "0.5")
    assert (status, out) == (1, "")
    assert err == "ietf-p2p: not complete after 0.5 s: nothing fetched, 0 peers\n"
    assert list(tmp_path.glob("copy*")) == []


def test_a_source_ends_when_its_file_changes(cli, content: Path) -> None:
    source, _ = cli.seed(content)
    with open(content, "ab") as file:
        file.write(b"more")
    status, _, err = cli.finish(source)
    assert status == 1
    assert err.endswith("ietf-p2p: content.bin was changed: the swarm of what it was cannot be served any more\n")


def test_without_an_output_the_name_in_the_uri_is_taken(cli, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    content = _content(folder, 5000)
    _, swarm = cli.seed(content)
    status, _, err = cli.run("fetch", swarm["uri"], "--listen", "127.0.0.1:0", "--peer", swarm["listen"])
    assert status == 0, err
    assert (tmp_path / "content.bin").read_bytes() == content.read_bytes()
