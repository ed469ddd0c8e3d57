"""`ietf-p2p decade serve` as a process: what it keeps, what it is told, and how it ends."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import httpx
import pytest
from decade_serve import bearer_of, make_key, processing
from decade_served import until

from decade.messages import MEDIA_TYPE, ResourcePolicy, Status, decode_message
from decade.names import name_of
from interop.__main__ import main
from interop.decade_server.config import ConfigError, load_config
from interop.decade_server.running import LiveServer

OCTETS = b"Hello World!"
HELLO = name_of(OCTETS)
ANY = ("--listen", "127.0.0.1:0")


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path / "alice.pem")


@pytest.fixture
def words(tmp_path, key):
    """What starts a server of one account without a configuration."""
    return (*ANY, "--root", tmp_path / "objects", "--account", "alice", "--key", tmp_path / "alice.pem")


def status_of(url: str, fields: dict[str, str]) -> Status:
    answer = httpx.get(f"{url}/decade/v1/status", headers=fields)
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = decode_message(answer.content)
    assert isinstance(found, Status)
    return found


def test_objects_and_uses_outlive_a_restart(words, key):
    name = "https://sb.example"
    once = bearer_of(key, name, uses=1)
    with processing(*words, "--server", name, "--storage", "1GB") as served:
        assert served.said["accounts"] == {"alice": 10**9}
        fields = bearer_of(key, served.name)
        assert httpx.put(served.url + HELLO.path, content=OCTETS, headers=fields).status_code == 201
        assert httpx.get(served.url + HELLO.path, headers=once).content == OCTETS
        assert served.stop(signal.SIGTERM) == 0
    with processing(*words, "--server", name) as again:
        assert httpx.get(again.url + HELLO.path, headers=once).status_code == 401
        assert httpx.get(again.url + HELLO.path, headers=fields).content == OCTETS
        assert status_of(again.url, fields).usage.stored == len(OCTETS)


def test_a_server_that_is_told_to_end_in_the_middle_of_an_upload_keeps_nothing_of_it(words, key):
    with processing(*words, "--server", "https://sb.example") as served:
        fields = bearer_of(key, served.name)
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
            head = f"PUT {HELLO.path} HTTP/1.1\r\nHost: sb\r\nContent-Length: 12\r\n"
            connection.sendall((head + f"Authorization: {fields['Authorization']}\r\n\r\nHello").encode())
            while not status_of(served.url, fields).usage.reserved:
                pass
            assert served.stop(signal.SIGTERM) == 0
    with processing(*words, "--server", "https://sb.example") as again:
        usage = status_of(again.url, fields).usage
        assert (usage.stored, usage.reserved, usage.connections) == (0, 0, 0)
        assert httpx.put(again.url + HELLO.path, content=OCTETS, headers=fields).status_code == 201


def test_workers_share_quotas_and_uses_exactly_and_one_that_dies_is_replaced(words, key):
    with processing(*words, "--storage", "100kB", "--workers", "2") as served:
        assert served.said["workers"] == 2
        bodies = [bytes([number]) * 10_000 for number in range(30)]

        def put(body: bytes) -> int:
            fields = bearer_of(key, served.name)
            return httpx.put(served.url + name_of(body).path, content=body, headers=fields).status_code

        with ThreadPoolExecutor(8) as threads:
            said = list(threads.map(put, bodies))
        assert sorted(said) == [201] * 10 + [507] * 20
        assert status_of(served.url, bearer_of(key, served.name)).usage.stored == 100_000
        stored = name_of(bodies[said.index(201)]).path
        once = bearer_of(key, served.name, uses=3)
        with ThreadPoolExecutor(8) as threads:
            codes = list(threads.map(lambda _: httpx.get(served.url + stored, headers=once).status_code, range(12)))
        assert sorted(codes) == [200] * 3 + [401] * 9
        # One of them dies.
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        assert "another one takes its place" in served.note()
        for _ in range(4):
            assert httpx.get(served.url + stored, headers=bearer_of(key, served.name)).status_code == 200
        until(lambda: len(children.read_text().split()) == 2)
        assert served.stop() == 0


KEYED = f"""
server = "https://sb.example"
[accounts.alice.keys.laptop]
public = "{"A" * 42}E"
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_directory_that_cannot_be_one_is_one_sentence(words, tmp_path, workers):
    (tmp_path / "objects").write_text("a file")
    command = [sys.executable, "-m", "interop", "decade", "serve", *map(str, words), "--workers", workers]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert set(done.stderr.splitlines()) == {
        f"ietf-p2p: {tmp_path}/objects: [Errno 17] File exists: '{tmp_path}/objects'"
    }


CONFIG = """
server = "https://sb.example"
listen = "127.0.0.1:0"

[accounts.alice]
storage = "1MB"
weight = 2

[accounts.alice.keys.laptop]
file = "alice.pem"
"""


def test_accounts_keys_and_policies_are_read_again_at_sighup(tmp_path, key):
    config = tmp_path / "decade.toml"
    config.write_text(CONFIG)
    with processing(config) as served:
        fields = bearer_of(key, served.name)
        assert status_of(served.url, fields).policy.storage == 1_000_000
        bob = make_key(tmp_path / "bob.pem")
        more = '\n[accounts.bob]\nstorage = 1000\n[accounts.bob.keys.phone]\nfile = "bob.pem"\n'
        config.write_text(CONFIG.replace("1MB", "2MB") + more)
        served.send(signal.SIGHUP)
        assert served.note() == "reloaded: 2 accounts and applications, 2 keys\n"
        assert status_of(served.url, fields).policy.storage == 2_000_000
        assert status_of(served.url, bearer_of(bob, served.name)).policy.storage == 1000
        config.write_text(CONFIG.replace("weight = 2", "weight = 0"))
        served.send(signal.SIGHUP)
        assert served.note().startswith("not reloaded, everything stays as it was: ")
        assert status_of(served.url, bearer_of(bob, served.name)).policy.storage == 1000
        config.write_text(CONFIG)
        served.send(signal.SIGHUP)
        served.note()
        assert httpx.get(f"{served.url}/decade/v1/status", headers=bearer_of(bob, served.name)).status_code == 401


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[accounts.alice]\nweight = 70000\n", "accounts.alice.weight: at most 65535 is due, not 70000"),
        ('[accounts.alice]\nstorage = "many"\n', "accounts.alice.storage: 'many' is no size in octets"),
        ('[accounts.alice]\npriority = "first"\n', "accounts.alice.priority: one of urgent, high, normal, low is due"),
        (KEYED.replace("https://sb.example", "storage"), "is no origin, such as https://storage.example"),
        ('listen = "here"\n[accounts.alice]\n', "listen: 'here' is not HOST:PORT"),
        ("workers = 2\n[accounts.alice]\n", "workers: several workers share a directory: 'root' is due"),
        ('trusted-proxies = ["x"]\n[accounts.alice]\n', "trusted-proxies: 'x' does not appear to be an IPv4"),
        ('proxy-header = "via"\n[accounts.alice]\n', "proxy-header: 'x-forwarded' or 'forwarded' is due, not 'via'"),
        ('extensions = ["wings"]\n[accounts.alice]\n', "extensions: 'wings' is no extension; there are "),
        (
            'root = "x"\nworkers = 2\nextensions = ["challenge"]\n[accounts.alice]\n',
            "extensions: seeds are of one process: 'challenge' goes with one worker and a directory",
        ),
        ("log-retention = 60\n[accounts.alice]\n", "logs are kept for 3600 s at least"),
        ("[transfers]\n[accounts.alice]\n", "transfers: it goes with the extensions 'pull' and 'push'"),
        ('extensions = ["pull"]\n[transfers]\nnetworks = ["x"]\n', "transfers.networks: 'x' does not appear"),
        ('[accounts.alice]\nwhen-full = "evict-own"\n', "accounts.alice: a policy with "),
        (
            'extensions = ["guarantees"]\n[accounts.alice]\nguaranteed-download-bps = 1\n',
            "accounts.alice: alice: a guarantee of 1 bit/s, of 0 with 0 guaranteed beside it",
        ),
        (
            'root = "x"\nworkers = 2\nextensions = ["guarantees"]\n[accounts.alice]\n',
            "workers: each worker has a part of the line: 'guarantees' goes with one worker",
        ),
        (
            'extensions = ["guarantees"]\n[provider]\nguaranteed-upload-bps = 1\n',
            "provider: the server: nobody is above it who could guarantee it a rate",
        ),
        ('[front]\naccel = "/x/"\n', "front: it goes with 'root', whose files it sends, and 'trusted-proxies'"),
        ('[front]\naccel = "x"\n', "front.accel: a path is due, such as /_decade/, not 'x'"),
        ('extensions = ["mint"]\n' + KEYED, "a server that mints tokens has a key for it"),
        ('mint-key = "nowhere"\n', "mint-key: "),
        ("[accounts.alice]\nroom = 1\n", "accounts.alice.room: no such key; there are weight, "),
        ("[accounts.alice]\n[accounts.alice.keys.a]\n", "keys.a: one of the keys 'file' and 'public' is due"),
        ('[accounts.alice.keys.a]\npublic = "x"\n', "keys.a: 43 characters of base64url are due"),
        ('[accounts.alice.keys.a]\nfile = "nowhere"\n', "nowhere: No such file or directory"),
        ("[accounts.alice]\n", "nobody could use it: at least one key [accounts.NAME.keys.NAME] is due"),
        ("[accounts\n", "(at line 1, column 10)"),
    ],
)
def test_a_mistake_in_a_configuration_is_one_sentence(tmp_path, capsys, change, said):
    config = tmp_path / "decade.toml"
    config.write_text(change)
    assert main(["decade", "serve", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ietf-p2p: {config}: ")
    assert said in line


def test_guarantees_are_of_the_line(tmp_path, key):
    def config(alice, bob, *, line=90):
        path = tmp_path / "decade.toml"
        rates = {"alice": alice, "bob": bob}
        tables = "".join(f"[accounts.{name}]\nguaranteed-download-bps = {rate}\n" for name, rate in rates.items())
        keys = "[accounts.alice.keys.laptop]\nfile = 'alice.pem'\n"
        path.write_text(
            f'extensions = ["guarantees"]\negress-bps = {line}\n[provider]\ndownload-bps = 100\n{tables}{keys}'
        )
        return load_config(path)

    with pytest.raises(ConfigError):
        config(60, 31)
    live = LiveServer(config(60, 30), "http://localhost")
    assert live.tree.effective(()).ceiling_download == 90
    # What one has had, another one may have, and both in one step.
    live._reload(config(30, 60))
    live._reload(config(60, 30))
    assert live.tree.policy(("bob",)).guaranteed_download == 30
    with pytest.raises(ConfigError, match="restart"):
        live._reload(config(61, 30, line=91))
    assert live.tree.policy(("bob",)).guaranteed_download == 30
    live._reload(config(10, 20, line=30))
    greedy = ResourcePolicy(weight=1, guaranteed_download=11)
    with pytest.raises(ConfigError):
        live._reload(attrs.evolve(live.config, policies={**live.config.policies, ("alice",): greedy}))
    assert live.tree.policy(("bob",)).guaranteed_download == 20
    live.close()


def test_a_key_on_p_256_goes_with_its_extension(tmp_path, capsys):
    words = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]
    subprocess.run([*words, tmp_path / "alice.pem"], check=True, capture_output=True)
    config = tmp_path / "decade.toml"
    config.write_text(CONFIG)
    assert main(["decade", "serve", str(config)]) == 2
    assert "accounts.alice.keys.laptop: a key on P-256 goes with the extension 'es256'" in capsys.readouterr().err
    config.write_text('extensions = ["es256"]\n' + CONFIG)
    assert len(load_config(config).keys) == 1


def test_tokens_are_served_over_tls_1_3(tmp_path, words, key):
    """RFC 7069 section 8.2"""
    made = ["-keyout", tmp_path / "tls.pem", "-out", tmp_path / "chain.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    words_of_openssl = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost", *made]
    subprocess.run(words_of_openssl, check=True, capture_output=True)
    tls = ("--tls-certificate", tmp_path / "chain.pem", "--tls-key", tmp_path / "tls.pem")
    with processing(*words, *tls) as served:
        assert served.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(tmp_path / "chain.pem"))
        fields = bearer_of(key, served.name)
        with httpx.Client(verify=context, headers=fields) as client:
            assert client.put(served.url + HELLO.path, content=OCTETS).status_code == 201
            assert client.get(served.url + HELLO.path).content == OCTETS
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with httpx.Client(verify=context) as client, pytest.raises(httpx.ConnectError):
            client.get(served.url)


def test_a_mistake_on_the_command_line_is_one_sentence(tmp_path, capsys, key):
    words = ["--account", "alice", "--key", str(tmp_path / "alice.pem")]
    for more, said in [
        ([], "a configuration is due, or --account and --key"),
        ([*words, "--storage", "much"], "--storage 'much' is no size in octets"),
        ([*words, "--workers", "2"], "several workers share a directory: 'root' is due"),
        ([*words, "--listen", "0.0.0.0:0"], "--server is due where every address is listened at"),
        ([*words, "--tls-key", "x"], "--tls-certificate and --tls-key go together"),
        (["--account", "alice", "--key", "nowhere"], "--key nowhere: No such file or directory"),
        (["x.toml", "--account", "alice"], "the configuration says everything"),
    ]:
        assert main(["decade", "serve", *more]) == 2
        assert said in capsys.readouterr().err
