"""The shell lines of decade/README.md, in their order, as a reader types them: programs, a server, curl."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from decade.names import name_of

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "decade/README.md").read_text(), re.MULTILINE | re.DOTALL)
RESPONDER = f"{sys.executable} {ROOT / 'tests/interop/conformance_responder.py'}"
FILM = os.urandom(200_000)
# What is tried behind a line, of what it says that it does.
CHECKS = {
    "NAME=$(": 'echo "$NAME" > name',
    "-o copy.mp4 ": 'cmp film.mp4 copy.mp4; rm copy.mp4; ! ietf-p2p decade get "$NAME" --token token.txt -o x 2> again',
}


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run lines in a directory where `ietf-p2p` is installed: what they print. They fail at the first that fails."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/ietf-p2p"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m interop "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("DECADE_SERVER", "DECADE_KEY", "DECADE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "film.mp4").write_bytes(FILM)

    def run(lines):
        words = ["bash", "-euo", "pipefail", "-c", lines]
        ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_the_five_minutes_with_the_command_line(shell, tmp_path):
    start, client, curl, _, _ = BLOCKS
    install, make_key, serve = start.splitlines()
    assert install.startswith("pip install ")  # which whoever runs tests has done
    shell(make_key)
    words = ["bash", "-c", f"exec {serve} --listen 127.0.0.1:0 --json"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as server:
        try:
            origin = json.loads(server.stdout.readline())["server"]
            name = name_of(FILM)
            # The port is another one here, and the name is written out.
            lines = (client + curl).replace("http://127.0.0.1:7069", origin).replace("A7og...", name.text).splitlines()
            said = shell("\n".join(f"{line}\n{next((CHECKS[c] for c in CHECKS if c in line), '')}" for line in lines))
        finally:
            server.send_signal(signal.SIGTERM)
    assert (tmp_path / "copy.mp4").read_bytes() == FILM
    assert (tmp_path / "name").read_text() == name.ni(origin.partition("//")[2]) + "\n"
    assert "token-used-up" in (tmp_path / "again").read_text()
    assert not (tmp_path / "x").exists()
    assert f"revoked at {origin}" in said
    assert "up to 1.0 GB of storage" in said
    assert server.returncode in (0, 143, -signal.SIGTERM)


def test_the_vectors_against_ours_and_against_yours(shell):
    assert "all cases" in shell(BLOCKS[-1].replace("your command", RESPONDER))
