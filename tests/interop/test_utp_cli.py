"""`ietf-p2p utp`: two processes on loopback, and what goes wrong."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from utp_native_peer import NativePeer, content, digest

from interop.__main__ import main
from interop.utp import start_server

CONTENT = os.urandom(5_000_000)
LOCAL = "127.0.0.1:0"


def receiver(cli: Any, *words: str | Path) -> tuple[subprocess.Popen[str], str]:
    """A receiver that listens, and where."""
    process = cli.start("utp", "recv", "--listen", LOCAL, "--json", *words)
    return process, json.loads(cli.line(process))["listen"]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_arrives_as_it_was_sent(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    process, address = receiver(cli, "-o", "copy")
    status, out, _ = cli.run("utp", "send", "source", address)
    assert status == 0
    assert re.fullmatch(rf"source: 5\.0 MB received by {re.escape(address)}, [\d.]+ s, [\d.]+ MB/s\n", out)
    status, out, _ = cli.finish(process)
    assert status == 0
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert not (tmp_path / "copy.part").exists()
    *progress, told = events(out)
    assert {event["event"] for event in progress} <= {"progress"}
    assert told["event"] == "complete"
    assert told["octets"] == len(CONTENT)
    assert told["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_an_empty_file_arrives(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").touch()
    process, address = receiver(cli, "-o", "copy")
    status, out, _ = cli.run("utp", "send", "source", address, "--json")
    assert status == 0
    assert events(out)[-1]["octets"] == 0
    assert cli.finish(process)[0] == 0
    assert (tmp_path / "copy").read_bytes() == b""


def test_libutp_can_send_to_it_and_receive_from_it(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"".join(content(1_000_000)))
    process, address = receiver(cli, "-o", "copy")
    port = int(address.rpartition(":")[2])

    async def exchange() -> None:
        async with NativePeer.connect(("127.0.0.1", port), send=1_000_000) as peer:
            await peer.next("end")
            await peer.next("close")
        async with NativePeer.listen() as peer:
            sending = asyncio.to_thread(cli.run, "utp", "send", "source", f"127.0.0.1:{peer.address[1]}")
            status, _, stderr = await sending
            assert status == 0, stderr
            assert (await peer.next("end"))["sha256"] == digest(1_000_000)

    asyncio.run(exchange())
    assert cli.finish(process)[0] == 0
    assert (tmp_path / "copy").read_bytes() == b"".join(content(1_000_000))


def test_nobody_listens(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"octets")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    status, out, stderr = cli.run("utp", "send", "source", f"127.0.0.1:{port}")
    assert (status, out) == (1, "")
    assert stderr == f"ietf-p2p: 127.0.0.1:{port}: Connection refused\n"


def test_nobody_answers(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"octets")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        status, _, stderr = cli.run("utp", "send", "source", f"127.0.0.1:{port}", "--connect-timeout", "0.2")
    assert status == 1
    assert stderr == f"ietf-p2p: 127.0.0.1:{port}: Connection timed out\n"


def test_nobody_sends(cli: Any, tmp_path: Path) -> None:
    status, _, stderr = cli.run("utp", "recv", "-l", LOCAL, "-o", "copy", "--timeout", "0.2")
    assert status == 1
    assert stderr.splitlines()[-1] == "ietf-p2p: no sender after 0.2 s"
    assert os.listdir(tmp_path) == ["stderr-0"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["utp", "send", "no-such-file", LOCAL], "no-such-file: No such file or directory"),
        (["utp", "send", ".", LOCAL], ".: Is a directory"),
        (["utp", "send", __file__, "nowhere"], "Invalid value for 'HOST:PORT': 'nowhere' is not HOST:PORT"),
        (["utp", "recv", "-l", LOCAL, "-o", __file__], "there is such a file (--force replaces it)"),
        (["utp", "recv", "-l", LOCAL, "-o", "no-such-folder/x"], "cannot write no-such-folder/x.part: No such file"),
        (["utp", "recv", "-l", "192.0.2.1:1", "-o", "x"], "--listen 192.0.2.1:1: Cannot assign requested address"),
        (["utp", "recv", "-o", "x"], "Missing option '-l' / '--listen'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    stderr = capsys.readouterr().err
    assert line in stderr
    assert stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("word", [[], ["send"], ["recv"]])
def test_every_help_ends_with_an_example(word: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["utp", *word, "--help"]) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith("    ietf-p2p utp")


def test_force_replaces_a_file(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "copy").write_bytes(b"old")
    process, address = receiver(cli, "-o", "copy", "--force")
    assert cli.run("utp", "send", "source", address)[0] == 0
    assert cli.finish(process)[0] == 0
    assert (tmp_path / "copy").read_bytes() == b"new"


def test_a_receiver_that_is_interrupted_leaves_nothing_and_the_sender_hears_of_it(cli: Any, tmp_path: Path) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(20_000_000_000)  # more than can be sent before the signal comes
    process, address = receiver(cli, "-o", "copy")
    sending = cli.start("utp", "send", "source", address, "--json")
    while not json.loads(cli.line(sending)).get("octets"):
        pass
    assert cli.stop(process, signal.SIGINT) == 130
    status, _, stderr = cli.finish(sending)
    assert status == 1
    assert stderr == f"ietf-p2p: {address}: Connection reset by peer\n"
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "copy.part").exists()


def test_a_receiver_that_closes_too_early_is_a_failure(cli: Any, tmp_path: Path) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(200_000_000)

    async def main() -> tuple[int, str, str]:
        async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            writer.transport.abort()

        async with await start_server(close, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.local_address[1]}"
            told: tuple[int, str, str] = await asyncio.to_thread(cli.run, "utp", "send", "source", address)
            return told

    status, out, stderr = asyncio.run(main())
    assert (status, out) == (1, "")
    assert stderr.endswith(": Connection reset by peer\n")
