"""`ietf-p2p decade log`: what a server of `decade serve` with logs tells an account."""

import json
import signal
import subprocess
import sys

import pytest

from decade.client_exchange import unverified_claims
from decade.journal import hash_of_token
from decade.names import name_of
from interop.__main__ import main
from interop.cli.decade._words import read_token

CONFIG = """
listen = "127.0.0.1:0"
root = "objects"
extensions = [{extensions}]
[accounts.alice.keys.first]
file = "alice.pem"
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Serve with extensions; then run commands: the exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    main(["decade", "key", "alice.pem"])
    (tmp_path / "hello").write_bytes(b"Hello World!")
    servers = []

    def serve(extensions):
        (tmp_path / "decade.toml").write_text(CONFIG.format(extensions=extensions))
        command = [sys.executable, "-m", "interop", "decade", "serve", "decade.toml", "--json"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        servers.append(server)
        monkeypatch.setenv("DECADE_SERVER", json.loads(server.stdout.readline())["server"])
        monkeypatch.setenv("DECADE_KEY", "alice.pem")

        def asked(*words):
            capfd.readouterr()
            status = main(["decade", *words])
            return status, *capfd.readouterr()

        return asked

    yield serve
    for server in servers:
        server.send_signal(signal.SIGTERM)
        server.communicate()


def test_a_read_is_told_with_the_hash_of_its_token(run, tmp_path):
    ask = run('"access-log", "distribution-log"')
    name = ask("put", "hello")[1].strip()
    token = ask("mint", "--get", name)[1].strip()
    cti = hash_of_token(unverified_claims(read_token(token).token)[7]).hex()
    (tmp_path / "token").write_text(token)
    status, out, err = ask("get", name, "--token", "token")
    assert (status, out) == (0, "Hello World!"), err
    frame, entry = [json.loads(line) for line in ask("log", "--json")[1].splitlines()]
    assert (frame["event"], frame["end"] - frame["start"] > 80000) == ("frame", True)
    assert (entry["event"], entry["name"], entry["reads"], entry["octets"]) == (
        "read",
        name_of(b"Hello World!").ni(),
        1,
        12,
    )
    assert entry["token"] == cti
    status, out, err = ask("log", "--last", "1h")
    assert cti in out
    assert err.startswith("from ")
    status, out, _ = ask("log", "--distribution", "--json")
    assert json.loads(out.splitlines()[1])["client"] == f"cti:{cti}"
    assert f"cti:{cti}" in ask("log", "--distribution")[1]


def test_a_server_without_logs_says_so_in_one_line(run):
    status, out, err = run('"evict-own"')("log")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert "not-found" in err or "not found" in err
