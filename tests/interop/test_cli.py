"""interop.__main__ and what every command shares: one line for a mistake, exit statuses, help, displays."""

import io
import json
import os
import re
import subprocess
import sys

import click
import pytest

from interop.__main__ import main
from interop.cli._errors import FailureError, MistakeError, one_line
from interop.cli._options import host_port, rate, text_of
from interop.cli._progress import Snapshot, display, duration, octets, sentence

_COMMANDS = ["tracker", "seed", "fetch", "demo", "conformance"]


@pytest.mark.parametrize("command", [[], *([name] for name in _COMMANDS)])
def test_every_help_ends_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    example = max(index for index, line in enumerate(lines) if line.strip().startswith("Example"))
    assert lines[-1].startswith("    ietf-p2p")
    assert len(lines) - example <= 5


def test_without_a_word_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in _COMMANDS)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"ietf-p2p \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["--nonsense"],
        ["seed"],
        ["seed", "--nonsense"],
        ["seed", "no such file"],
        ["seed", ".", "--upload-limit", "fast"],
        ["seed", ".", "--listen", "nowhere"],
        ["seed", ".", "--tracker", "ftp://tracker/"],
        ["seed", ".", "--chunk-size", "10"],
        ["fetch"],
        ["fetch", "http://example.com/"],
        ["fetch", "magnet:?xt=urn:btih:00", "-o", "x"],
        ["fetch", "magnet:?xt=urn:ppspp:" + 32 * "00"],
        ["fetch", "magnet:?xt=urn:ppspp:" + 32 * "00", "-o", "x"],
        ["demo", "--file", "no such file"],
        ["demo", "--peers", "0"],
    ],
)
def test_a_mistake_gets_one_line_and_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"ietf-p2p: [^\n]+\n", shown.err)


def test_messages_of_several_lines_become_one() -> None:
    assert one_line(FailureError("first\n  second\n")) == "ietf-p2p: first second"


def test_failures_and_mistakes_differ_in_their_status() -> None:
    assert (FailureError("x").exit_code, MistakeError("x").exit_code) == (1, 2)


def test_a_command_imports_only_what_it_needs() -> None:
    """`ietf-p2p --help` must not wait for an HTTP library."""
    code = (
        "import sys; from interop.__main__ import main; main(['--help'])\n"
        "print([name for name in ('httpx', 'uvicorn', 'rich', 'asyncio') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "httpx" not in done.stderr
    assert "uvicorn" not in done.stderr
    assert "rich" not in done.stderr


def test_without_click_the_extra_is_named_in_one_line() -> None:
    """attrs is the only hard dependency: the command line says what else it needs."""
    code = "import sys; sys.modules['click'] = None; sys.argv = ['ietf-p2p']; import interop.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "ietf-p2p: the command line needs click: pip install 'ietf-p2p[interop]'\n"


def test_a_reader_that_left_causes_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "interop", "--help"], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:7000", ("::1", 7000)), ("example.com:0", ("example.com", 0))],
)
def test_addresses_are_read_and_written(text: str, address: tuple[str, int]) -> None:
    assert host_port(text) == address
    assert text_of(address) == text


@pytest.mark.parametrize("text", ["", "80", ":80", "host:", "::1:80", "host:65536", "host:-1", "[host]:1", "host:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        host_port(text)


def test_the_four_values_of_an_ipv6_socket_are_written_as_an_address() -> None:
    assert text_of(("::1", 7000, 0, 0)) == "[::1]:7000"


@pytest.mark.parametrize(
    ("text", "value"), [("4M", 4e6), ("500k", 5e5), ("1.5Mi", 1.5 * 1024**2), ("9", 9.0), ("2MB/s", 2e6), ("1G", 1e9)]
)
def test_rates_are_octets_a_second_with_a_unit(text: str, value: float) -> None:
    assert rate(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "M", "4T", "4 M", "nan", "1e6"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        rate(text)


def test_figures_are_written_for_people() -> None:
    assert [octets(value) for value in (1, 999, 1000, 30_446_639, 5e12)] == [
        "1 B",
        "999 B",
        "1.0 kB",
        "30.4 MB",
        "5000.0 GB",
    ]
    assert [duration(value) for value in (None, 0.4, 65, 3725)] == ["-", "0:00", "1:05", "1:02:05"]


def test_a_line_of_progress_tells_share_rate_peers_and_eta() -> None:
    snapshot = Snapshot(done=25_000_000, total=100_000_000, rate=5_000_000, peers=3)
    assert sentence("fetching", snapshot) == "fetching: 25.0 % of 100.0 MB, 5.0 MB/s, 3 peers, ETA 0:15"
    assert sentence("seeding", Snapshot(7, None, 0.0, 1)) == "seeding: 7 B, 0 B/s, 1 peer"
    assert Snapshot(0, 10, 0.0).remaining is None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with display("fetching") as shown:
        shown.show(Snapshot(50, 100, 10.0, 2))
    written = terminal.getvalue()
    assert "fetching" in written
    assert "50.0 % of 100 B  10 B/s  2 peers  ETA 0:05" in written


def test_work_that_has_nothing_to_do_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with display("verifying"):
        pass
    assert terminal.getvalue() == ""


def test_elsewhere_a_line_comes_now_and_then_and_only_with_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("interop.cli._progress.time.monotonic", lambda: now)
    with display("seeding") as shown:
        for now in (0.5, 2.0, 2.5, 4.0, 6.0):
            shown.show(Snapshot(100 if now < 6 else 200, None, 0.0, 1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "seeding: 100 B, 0 B/s, 1 peer\nseeding: 200 B, 0 B/s, 1 peer\n"


def test_programs_get_json_lines_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with display("fetching", as_json=True) as shown:
        shown.show(Snapshot(50, 100, 10.4, 2))
    assert json.loads(capsys.readouterr().out) == {
        "event": "progress",
        "doing": "fetching",
        "octets": 50,
        "total": 100,
        "octets_per_second": 10,
        "peers": 2,
    }
