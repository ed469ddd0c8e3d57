"""Peers behind real NATs: Linux network namespaces and nftables, with real processes of the command line and coturn."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alto_serving import wait_until
from ppsp_namespaces import OUTSIDE, SERVER, NamespaceError, World

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_TRACKER = f"http://{SERVER}:8700/"
_PLAIN = "--insecure-tracker"
_USER, _PASSWORD = "peer", "relay me"
_SECRETS = {"PPSP_TURN_USER": _USER, "PPSP_TURN_PASSWORD": _PASSWORD}
_STUN = ["--stun", f"{SERVER}:3478"]
_TURN = ["--turn", f"turn:{SERVER}:3478"]


class _Net:
    """A world with a tracker and coturn in public, and what the peers in it do."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self._public(
            "tracker", sys.executable, "-m", "interop", "tracker", "--insecure", "--listen", f"{SERVER}:8700", port=8700
        )
        words = ["--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout", f"--pidfile={folder / 'pid'}"]
        login = ["--lt-cred-mech", "--realm=ppsp", f"--user={_USER}:{_PASSWORD}"]
        self._public("coturn", "turnserver", f"--listening-ip={SERVER}", *words, *login, port=3478)
        self._seeds = 0

    def _public(self, name: str, *command: str, port: int) -> None:
        log = self.folder / f"{name}.log"
        process = self.world.start("public", *command, log=log)
        wait_until(lambda: process.poll() is not None or f":{port} " in self.world.inside("public", "ss", "-lnH"))
        assert process.poll() is None, log.read_text()

    def seed(self, *words: str) -> str:
        """A peer in home "a" serves content of its own; returns the URI of its swarm."""
        self._seeds += 1
        file, log = self.folder / f"content-{self._seeds}", self.folder / f"seed-{self._seeds}.log"
        file.write_bytes(os.urandom(500_000))
        command = ["-m", "interop", "seed", file, "--tracker", _TRACKER, _PLAIN, "--json", *words]
        process = self.world.start("home-a", sys.executable, *command, log=log, environment=_SECRETS)
        assert process.stdout is not None
        for line in process.stdout:
            if "uri" in (event := json.loads(line)):
                uri: str = event["uri"]
                return uri
        pytest.fail(log.read_text())

    def fetch(self, uri: str, name: str, *words: str) -> subprocess.Popen[str]:
        """A peer in home "b" begins to fetch."""
        command = ["-m", "interop", "fetch", uri, "-o", self.folder / name, _PLAIN, "--json", *words]
        log = self.folder / f"{name}.log"
        return self.world.start("home-b", sys.executable, *command, log=log, environment=_SECRETS)

    def copied(self, name: str) -> bool:
        """Whether the first content has arrived whole."""
        file = self.folder / name
        return file.exists() and file.read_bytes() == (self.folder / "content-1").read_bytes()


def _end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit status, and the last thing that the process said."""
    out, _ = process.communicate(timeout=60)
    lines = out.splitlines()
    return process.returncode, json.loads(lines[-1]) if lines else {}


@pytest.fixture
def net(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Net]:
    """A world whose NATs are symmetric or not, as the test's parameter says."""
    for program in ("ip", "nft", "ss", "turnserver"):
        if shutil.which(program, path=_PATH) is None:
            pytest.fail(f"needs {program}: the Debian packages iproute2, nftables and coturn")
    try:
        world = World(symmetric=request.param)
    except NamespaceError as error:
        reason = f"NO REAL NAT IS TESTED HERE, only simulated ones (test_nat.py): no network namespaces: {error}"
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\n{reason}")
        pytest.skip(reason)
    try:
        yield _Net(world, tmp_path)
    finally:
        world.close()


def _givers(report: dict[str, Any]) -> list[str]:
    return [peer["address"] for peer in report["peers"] if peer["octets"]]


def test_a_world_that_cannot_be_built_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def spaces() -> str:
        return subprocess.run(["ip", "netns"], env={"PATH": _PATH}, capture_output=True, text=True, check=True).stdout

    built: list[str] = []

    def broken(world: World, *words: object) -> None:
        built.append(world.name(""))
        raise NamespaceError("no cable")

    monkeypatch.setattr(World, "_cable", broken)
    with pytest.raises(NamespaceError):
        World(symmetric=False)
    if not built:
        pytest.skip("no network namespaces on this machine")
    assert built[0] not in spaces()


@pytest.mark.parametrize("net", [False], indirect=True)
def test_with_stun_two_peers_behind_nats_reach_each_other_directly_and_without_do_not(net: _Net) -> None:
    """Both have 10.0.0.2 at home; the tracker carries their reflexive addresses (RFC 7846 section 3.2.4)."""
    reached, alone = net.seed(*_STUN), net.seed()
    without = net.fetch(alone, "alone", "--timeout", "5")
    status, report = _end(net.fetch(reached, "copy", *_STUN, "--timeout", "40"))
    assert status == 0, report
    assert net.copied("copy")
    assert [address.rpartition(":")[0] for address in _givers(report)] == [OUTSIDE["a"]]
    status, report = _end(without)
    assert status == 1, report


@pytest.mark.parametrize("net", [True], indirect=True)
def test_with_turn_two_peers_behind_symmetric_nats_meet_at_a_relay_and_with_stun_alone_do_not(net: _Net) -> None:
    relayed, alone = net.seed(*_TURN), net.seed(*_STUN)
    without = net.fetch(alone, "alone", *_STUN, "--timeout", "5")
    status, report = _end(net.fetch(relayed, "copy", *_TURN, "--timeout", "40"))
    assert status == 0, report
    assert net.copied("copy")
    givers = _givers(report)
    # One relay is enough: ours to their public address, or theirs.
    assert all(giver.endswith(" via relay") or giver.startswith(f"{SERVER}:") for giver in givers), givers
    assert givers
    status, report = _end(without)
    assert status == 1, report
