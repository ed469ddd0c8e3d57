"""`ietf-p2p decade serve`: policies that an account puts, over restarts, workers, and configurations read again."""

import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from decade_serve import bearer_of, make_key, processing

from decade.messages import MEDIA_TYPE, ResourcePolicy, decode_message, encode_message
from decade.names import name_of

CONFIG = """
server = "https://sb.example"
listen = "127.0.0.1:0"
root = "objects"
workers = 2

[accounts.alice]
storage = "1MB"
[accounts.alice.keys.laptop]
file = "alice.pem"

[accounts.alice.apps.films]
storage = "100kB"
[accounts.alice.apps.films.keys.box]
file = "films.pem"
"""


@pytest.fixture
def keys(tmp_path):
    """Of the account, and of its application."""
    return make_key(tmp_path / "alice.pem"), make_key(tmp_path / "films.pem")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "decade.toml"
    path.write_text(CONFIG)
    return path


def put(served, key, app, policy):
    """The status of the answer."""
    fields = {**bearer_of(key, served.name), "Content-Type": MEDIA_TYPE}
    url = f"{served.url}/decade/v1/policy/{app}"
    return httpx.put(url, content=encode_message(policy), headers=fields).status_code


def get(served, key, app):
    """A policy, or the status without one."""
    answer = httpx.get(f"{served.url}/decade/v1/policy/{app}", headers=bearer_of(key, served.name))
    return decode_message(answer.content) if answer.status_code == 200 else answer.status_code


def store(served, key, body):
    """The status of the answer."""
    fields = bearer_of(key, served.name)
    return httpx.put(served.url + name_of(body).path, content=body, headers=fields).status_code


def test_a_limit_that_an_account_puts_is_exact_at_all_workers_and_behind_a_restart(config, keys):
    key, films = keys
    limit = ResourcePolicy(weight=5, storage=50_000)
    bodies = [bytes((number,)) * 10_000 for number in range(20)]
    with processing(config) as served, ThreadPoolExecutor(8) as threads:
        assert put(served, key, "films", limit) == 204
        assert put(served, key, "songs", limit) == 204
        said = list(threads.map(lambda body: store(served, films, body), bodies))
        assert sorted(said) == [201] * 5 + [507] * 15
        # Whichever worker is asked.
        assert set(threads.map(lambda _: get(served, key, "songs") == limit, range(16))) == {True}
        assert set(threads.map(lambda _: put(served, key, "films", ResourcePolicy(weight=1, storage=1)), range(4))) == {
            507
        }
        # What was answered is on the disk.
        served.stop(signal.SIGKILL)
    with processing(config) as again:
        assert (get(again, key, "films"), get(again, key, "songs")) == (limit, limit)
        assert store(again, films, bytes((99,)) * 10_000) == 507
        assert put(again, key, "films", ResourcePolicy(weight=5, storage=60_000)) == 204
        assert store(again, films, bytes((99,)) * 10_000) == 201


def test_what_a_configuration_says_that_is_read_again_goes_before_what_was_put(config, keys):
    key, _ = keys
    limit = ResourcePolicy(weight=5, storage=50_000)
    with processing(config, "--workers", "1") as served:
        assert put(served, key, "films", limit) == 204
        assert put(served, key, "songs", limit) == 204

        def read_again(text):
            config.write_text(text)
            served.send(signal.SIGHUP)
            assert served.note().startswith("reloaded: ")

        read_again(CONFIG)
        assert get(served, key, "films") == limit
        read_again(CONFIG.replace("100kB", "70kB") + "[accounts.alice.apps.songs]\nweight = 2\n")
        assert get(served, key, "films") == ResourcePolicy(weight=1, storage=70_000)
        assert get(served, key, "songs") == ResourcePolicy(weight=2)
        read_again(CONFIG)
        assert (get(served, key, "films"), get(served, key, "songs")) == (limit, limit)
        # The account is gone, with what it has made; and it is back.
        read_again(CONFIG.replace("accounts.alice", "accounts.bob"))
        assert get(served, key, "songs") == 404
        read_again(CONFIG)
        assert get(served, key, "songs") == limit
