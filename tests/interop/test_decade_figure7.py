"""The paper's figure 7 as `ietf-p2p decade demo` plays it: two servers, a source, clients of PPSPP and BitTorrent."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interop.__main__ import main
from interop.decade_figure7 import Figure7Error, _processes, _servers, clients, story
from interop.decade_figure7.story import REFUSALS

SIZE = 2_000_000


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    file = tmp_path_factory.mktemp("film") / "film.bin"
    file.write_bytes(os.urandom(SIZE))
    return file


@pytest.fixture(scope="module")
def told(film):
    """What the demo says of each step: the fields by the step, and by the protocol if it is a step of both."""
    command = [sys.executable, "-m", "interop", "decade", "demo", "--json", "--seconds", "1", "--file", str(film)]
    ended = subprocess.run(command, cwd=film.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    steps = list(map(json.loads, ended.stdout.splitlines()))
    assert list((film.parent / "demo-out").iterdir()) == []
    return {(step["event"], step.get("protocol")): step for step in steps}


@pytest.mark.parametrize("protocol", ["ppspp", "torrent"])
def test_who_asks_the_source_reads_at_the_other_server_while_the_transfer_runs(told, protocol):
    assert 0 < told["joined", protocol]["percent"] < 100
    assert told["delivered", protocol]["percent"] == 100


def test_objects_of_a_pull_are_read_one_by_one_before_it_ends(told):
    assert 0 < told["joined", "ppspp"]["read"] < SIZE


def test_what_is_pushed_as_one_object_is_waited_for(told):
    assert told["joined", "torrent"]["read"] == 0


def test_the_first_server_sends_each_object_once_for_all_clients(told):
    assert told["delivered", "ppspp"]["sent"] == SIZE
    assert told["delivered", "torrent"]["sent"] == 2 * SIZE
    assert told["stopped", None]["sent"] == 2 * SIZE


def test_the_next_clients_are_served_without_the_first_server(told):
    assert told["later", None]["clients"] == 3
    assert told["later", None]["served"] >= 3 * SIZE


def test_who_has_no_right_is_refused(told):
    assert told["refused", None]["refused"] == REFUSALS


def test_accounts_get_what_their_weights_say(told):
    got = told["shared", None]["octets"]
    # Four to one, and what is in buffers when it is looked at.
    assert 2 * got["bob"] < got["alice"] < 16 * got["bob"]


def test_the_summary_is_last(told):
    assert list(told)[-1] == ("demo", None)
    assert told["demo", None]["octets"] == SIZE


def test_a_server_that_lets_nobody_wait_fails_the_scenario(film, tmp_path, monkeypatch):
    # No object is whole before the client asks, on whatever machine.
    monkeypatch.setattr(story, "SLOW", 1000)
    monkeypatch.setattr(_servers, "EXTENSIONS", tuple(one for one in _servers.EXTENSIONS if one != "joined"))
    # The first server, which sends slowly, does not end before it has sent.
    monkeypatch.setattr(_processes, "GRACE", 1.0)
    started = []
    monkeypatch.setattr(clients.Programs, "start", _kept(clients.Programs.start, started))
    play = story.play(film, tmp_path, seconds=1, tell=lambda *_, **__: None)
    with pytest.raises(Figure7Error, match=r"first client get ended with status 1: .*not-found"):
        asyncio.run(play)
    assert len(started) == 6
    assert [program._process.returncode is None for program in started] == [False] * 6


def _kept(start, started):
    async def keeping(*arguments):
        started.append(await start(*arguments))
        return started[-1]

    return keeping


@pytest.mark.parametrize(
    ("name", "said"), [("missing", "No such file"), (".", "a file is due"), ("empty", "a file is due")]
)
def test_a_file_that_is_missing_or_too_small_is_a_mistake(tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    status = main(["decade", "demo", "--file", name])
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_without_libtorrent_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["decade", "demo"]) == 2
    assert "pip install 'ietf-p2p[demo]'" in capsys.readouterr().err
