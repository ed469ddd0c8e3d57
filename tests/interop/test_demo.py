"""`ietf-p2p demo`: every party a process of its own, and none of them left over; and the film that it makes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interop import demo_media
from interop.__main__ import main
from interop.cli import demo
from interop.demo_media import DemoMediaError


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "film.bin"
    path.write_bytes(os.urandom(1_000_000))
    return path


def _children(pid: int) -> list[int]:
    return sorted(
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if int(_text(stat).rpartition(")")[2].split()[1] or 0) == pid
    )


def _text(stat: Path) -> str:
    try:
        return stat.read_text()
    except OSError:  # it ended just now
        return ") Z 0"


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _gone(pids: list[int]) -> bool:
    end = time.monotonic() + 60
    while _alive(pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not _alive(pids)


def _party_of(process: subprocess.Popen[str], size: int) -> list[int]:
    """The processes of a running demo, once all of them are there."""
    end = time.monotonic() + 60
    while len(party := _children(process.pid)) < size and time.monotonic() < end:
        time.sleep(0.05)
    assert len(party) == size
    return party


def test_it_ends_with_a_table_of_identical_copies(cli, content: Path) -> None:
    status, out, err = cli.run("demo", "--file", content, "--peers", "3", "--upload-limit", "250k")
    assert status == 0, err
    rows = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()][:3]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for row in rows:
        from_source, from_peers = int(row[3]), int(row[5])
        assert from_source + from_peers == 100
        assert from_peers > 0  # the source alone would need three times as long
        assert row[7:] == ["0", "yes"]
    assert out.splitlines()[-1].startswith("1.0 MB to 3 peers in ")


def test_for_programs_it_is_one_object(cli, content: Path, tmp_path: Path) -> None:
    status, out, err = cli.run("demo", "--file", content, "--peers", "2", "--upload-limit", "5M", "--json")
    assert status == 0, err
    (line,) = out.splitlines()
    report = json.loads(line)
    assert report["octets"] == 1_000_000
    assert report["seconds_from_the_source_alone"] == 0.4
    assert [peer["identical"] for peer in report["peers"]] == [True, True]
    assert list((tmp_path / "demo-out").iterdir()) == []  # the copies are gone


@pytest.mark.parametrize(("name", "said"), [("missing", "No such file"), (".", "not a file"), ("empty", "no octets")])
def test_a_file_that_cannot_be_streamed_is_a_mistake(cli, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").touch()
    status, out, err = cli.run("demo", "--file", name)
    assert (status, out) == (2, "")
    assert err.startswith(f"ietf-p2p: {name}: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_a_mistake(cli, content: Path) -> None:
    assert cli.run("demo", "--folder", "/proc/demo") == (2, "", "ietf-p2p: /proc/demo: No such file or directory\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_it_however_it_ends(cli, content: Path, number: int) -> None:
    process = cli.start("demo", "--file", content, "--peers", "2", "--upload-limit", "50K")
    party = _party_of(process, 4)
    status = cli.stop(process, number)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[signal.Signals(number)]
    assert _gone(party)
    assert "Traceback" not in cli.stderr_of(process)


def test_a_process_that_dies_is_a_failure_in_one_line(cli, content: Path) -> None:
    process = cli.start("demo", "--file", content, "--peers", "2", "--upload-limit", "50K")
    party = _party_of(process, 4)
    os.kill(party[-1], signal.SIGKILL)
    status, out, err = cli.finish(process)
    assert (status, out) == (1, "")
    assert re.match(r"ietf-p2p: the (tracker|source|peer \d) ended with status -9: ", err.splitlines()[-1])
    assert _gone(party)


def test_a_copy_that_differs_is_a_failure(
    content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_digest", lambda path: b"one" if path.name == "peer-1.bin" else b"other")
    words = ["--file", str(content), "--peers", "1", "--upload-limit", "5M", "--folder", str(tmp_path / "out")]
    assert main(["demo", *words]) == 1
    shown = capsys.readouterr()
    assert " NO " in shown.out
    assert shown.err.endswith("ietf-p2p: a copy differs from the source's file\n")


def test_the_film_is_h264_and_aac_and_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_media, "_SECONDS", 1)
    film = demo_media.demo_media(tmp_path / "out")
    probe = subprocess.run(
        [demo_media._ffmpeg(), "-hide_banner", "-i", str(film)], capture_output=True, text=True, check=False
    )
    assert "Video: h264" in probe.stderr
    assert "Audio: aac" in probe.stderr
    made = film.stat().st_mtime_ns
    assert demo_media.demo_media(tmp_path / "out").stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["demo.mp4"]


def test_an_ffmpeg_that_fails_leaves_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_media, "_ffmpeg", lambda: "/bin/false")
    with pytest.raises(DemoMediaError, match="ffmpeg failed"):
        demo_media.demo_media(tmp_path)
    monkeypatch.setattr(demo_media, "_ffmpeg", lambda: "/no/such/program")
    with pytest.raises(DemoMediaError, match="did not run"):
        demo_media.demo_media(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_wheel_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(DemoMediaError, match=r"pip install 'ietf-p2p\[demo\]'"):
        demo_media.demo_media(tmp_path)
