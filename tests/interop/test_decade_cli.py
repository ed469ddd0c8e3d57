"""`ietf-p2p decade`: the commands of a client at a server that `decade serve` runs, and curl beside them."""

import base64
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
from decade_serve import processing

from decade.client_exchange import unverified_claims
from decade.data_index import DataIndex, Entry, Piece, decode_index, encode_index
from decade.names import name_of, read_ni
from interop.__main__ import main
from interop.cli.decade._words import read_token

LARGE = os.urandom(300_000)
OTHER = "ni:///sha-256;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server of `decade serve`: its origin, and the key of its account."""
    directory = tmp_path_factory.mktemp("decade")
    key = directory / "alice.pem"
    main(["decade", "key", str(key)])
    command = [sys.executable, "-m", "interop", "decade", "serve", "--listen", "127.0.0.1:0", "--json"]
    command += ["--root", str(directory / "root"), "--account", "alice", "--key", str(key), "--storage", "1MB"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            yield json.loads(server.stdout.readline())["server"], key
        finally:
            server.send_signal(signal.SIGTERM)


@pytest.fixture
def ask(served, tmp_path, monkeypatch, capfd):
    """Run a command with the server and the key in the environment: the exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DECADE_SERVER", served[0])
    monkeypatch.setenv("DECADE_KEY", str(served[1]))
    monkeypatch.delenv("DECADE_TOKEN", raising=False)
    (tmp_path / "hello").write_bytes(b"Hello World!")
    (tmp_path / "large").write_bytes(LARGE)

    def asked(*words):
        capfd.readouterr()
        status = main(["decade", *words])
        return status, *capfd.readouterr()

    return asked


class Stranger:
    """A server that has nothing, and keeps what it is told."""

    def __enter__(self):
        self.heads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                # Of the others that were asked at a time nobody waits for the answer.
                with connection, contextlib.suppress(ConnectionError):
                    head = connection.recv(65536).decode("latin-1")
                    self.heads += [head] if head else []
                    connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def good(result):
    status, out, err = result
    assert status == 0, err
    return out


def test_a_file_is_stored_listed_fetched_and_deleted(ask, served, tmp_path):
    name = good(ask("put", "hello", "--media-type", "text/plain", "--expires", "1h")).strip()
    authority = served[0].partition("//")[2]
    assert name == f"{name_of(b'Hello World!').ni(authority)}?ct=text/plain"
    assert good(ask("get", name)) == "Hello World!"
    good(ask("get", name, "-o", "copy"))
    assert (tmp_path / "copy").read_bytes() == b"Hello World!"
    found = json.loads(good(ask("info", name, "--json")))
    assert (found["size"], found["media_type"]) == (12, "text/plain")
    assert "text/plain" in good(ask("info", name))
    listed = [json.loads(line) for line in good(ask("ls", "--json")).splitlines()]
    assert [info["name"] for info in listed] == [name_of(b"Hello World!").ni()]
    assert "12 B" in good(ask("ls"))
    status = json.loads(good(ask("status", "--json")))
    assert (status["usage"]["stored"], status["policy"]["storage"]) == (12, 1_000_000)
    assert "12 B" in good(ask("status"))
    good(ask("rm", name))
    status, _, err = ask("get", name)
    assert (status, err) == (1, f"ietf-p2p: {served[0]}: gone {err.partition('gone ')[2]}")
    assert len(err.splitlines()) == 1


def test_several_files_print_a_line_each(ask):
    lines = good(ask("put", "hello", "large")).splitlines()
    assert [line.split()[1] for line in lines] == ["hello", "large"]
    found = [json.loads(line) for line in good(ask("put", "hello", "--json")).splitlines()]
    assert read_ni(found[-1]["name"]).name == name_of(b"Hello World!")


def test_a_file_is_stored_in_many_objects_and_put_together(ask, tmp_path):
    good(ask("put", "large", "--split", "70kB", "--index", "index"))
    assert len(decode_index((tmp_path / "index").read_bytes()).entries[0].pieces) == 5
    good(ask("get", "index", "-o", "copy"))
    assert (tmp_path / "copy").read_bytes() == LARGE
    (tmp_path / "text").write_text(good(ask("put", "large", "hello", "--split", "200kB")))
    status, _, err = ask("get", "text", "-o", "again")
    assert (status, err) == (2, "ietf-p2p: --entry LABEL is due, one of 'large', 'hello'\n")
    good(ask("get", "text", "-o", "again", "--entry", "hello"))
    assert (tmp_path / "again").read_bytes() == b"Hello World!"


def test_curl_fetches_with_a_token_that_was_minted_here(ask, served, tmp_path):
    good(ask("put", "hello"))
    token = good(ask("mint", "--get", "hello", "--uses", "1")).strip()
    name = name_of(b"Hello World!")
    curl = ["curl", "-sS", "-H", f"Authorization: Bearer {token}", "-w", "%{http_code}", served[0] + name.path]
    once, again = (subprocess.run(curl, capture_output=True, check=True).stdout for _ in range(2))
    assert (once, again[-3:]) == (b"Hello World!200", b"401")
    claims = unverified_claims(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert claims[-70690] == {3: 24, 4: 1}


def test_curl_stores_and_the_command_fetches(ask, served, tmp_path):
    token = good(ask("mint", "--put", "large", "--for", "1m")).strip()
    url = served[0] + name_of(LARGE).path
    subprocess.run(["curl", "-sSf", "-T", "large", "-H", f"Authorization: Bearer {token}", url], check=True)
    good(ask("get", url, "-o", "copy"))
    assert (tmp_path / "copy").read_bytes() == LARGE


def test_without_a_key_and_a_token_or_a_server_nothing_is_asked(ask, monkeypatch):
    name = good(ask("put", "hello")).strip()
    monkeypatch.delenv("DECADE_KEY")
    for words, due in ((("rm", name), "a key is due"), (("mint", "--get", name), "a key is due")):
        status, out, err = ask(*words)
        assert (status, out, len(err.splitlines()), due in err) == (2, "", 1, True)
    monkeypatch.delenv("DECADE_SERVER")
    for words in (("rm", name), ("revoke", "--before", "now"), ("get", OTHER), ("status",), ("info",)):
        status, out, err = ask(*words)
        assert (status, out, "--server https://storage.example" in err) == (2, "", True)


def test_what_a_token_does_not_permit_is_refused_in_one_line(ask, served, tmp_path, monkeypatch):
    name = good(ask("put", "hello")).strip()
    (tmp_path / "token").write_text(good(ask("mint", "--get", name)))
    assert good(ask("get", name, "--token", "token")) == "Hello World!"
    monkeypatch.setenv("DECADE_TOKEN", (tmp_path / "token").read_text())
    assert good(ask("get", name)) == "Hello World!"
    status, out, err = ask("rm", name)
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"ietf-p2p: {served[0]}: op-not-permitted ")


def test_revoked_tokens_are_refused(ask, served, tmp_path):
    name = good(ask("put", "hello")).strip()
    for number, word in enumerate(("token", "argument", "cti")):
        text = good(ask("mint", "--get", name)).strip()
        (tmp_path / "token").write_text(text)
        cti = unverified_claims(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))[7].hex()
        words = [("token",), (text,), ("--cti", cti)][number]
        told = good(ask("revoke", *words))
        assert told == f"revoked at {served[0]}\n"
        status, _, err = ask("get", name, "--token", "token")
        assert (word, status, "token-revoked" in err) == (word, 1, True)


def test_a_url_with_its_token(ask, served):
    name = good(ask("put", "hello")).strip()
    url = good(ask("mint", "--get", name, "--url")).strip()
    assert url.startswith(f"{served[0]}{name_of(b'Hello World!').path}?dt=")
    assert good(ask("get", url)) == "Hello World!"


def test_some_octets_are_not_verified_and_it_says_so(ask):
    name = good(ask("put", "hello")).strip()
    status, out, err = ask("get", name, "--range", "6-10")
    assert (status, out) == (0, "World")
    assert "not verified" in err


def test_some_octets_are_a_whole_file_or_none(ask, tmp_path, monkeypatch):
    name = good(ask("put", "hello")).strip()
    good(ask("get", name, "--range", "6-10", "-o", "some"))
    assert (tmp_path / "some").read_bytes() == b"World"

    def full(fd, octets, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    status, out, err = ask("get", name, "--range", "6-10", "-o", "part")
    assert (status, out) == (1, "")
    assert err.endswith("ietf-p2p: No space left on device\n")
    assert [path.name for path in tmp_path.glob("*part*")] == []


def test_a_token_that_a_stranger_is_shown_is_worth_nothing_elsewhere(ask, served, tmp_path):
    good(ask("put", "hello"))
    with Stranger() as stranger:
        names = [name_of(b"%d" % number) for number in range(100)]
        pieces = tuple(Piece(name=name, length=1) for name in [name_of(b"Hello World!"), *names])
        entry = Entry(label="film", pieces=pieces)
        (tmp_path / "index").write_bytes(encode_index(DataIndex(entries=(entry,), servers=(stranger.origin,))))
        status, _, _ = ask("get", "index", "-o", "film")
        assert status == 1
        status, _, _ = ask("get", OTHER.replace("///", f"//{stranger.origin.partition('//')[2]}/"), "-o", "copy")
        assert status == 1
    assert {head[:4] for head in stranger.heads} == {"GET "}
    tokens = {head.partition("Bearer ")[2].split("\r")[0] for head in stranger.heads}
    assert len(tokens) == 2
    for token in tokens:
        assert unverified_claims(read_token(token).token)[3] == stranger.origin


def test_ctrl_c_leaves_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = ["decade", "get", OTHER, "--server", origin, "-o", str(tmp_path / "film")]
        command = [sys.executable, "-m", "interop", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(100_000))
                while not (parts := list(tmp_path.iterdir())) or not parts[0].stat().st_size:
                    time.sleep(0.01)
                assert parts[0].name.endswith(".part")
                process.send_signal(signal.SIGINT)
                assert process.communicate()[1].strip() == ""
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_an_application_gets_a_share_and_loses_it(ask):
    told = json.loads(good(ask("policy", "films", "--weight", "3", "--storage", "4kB", "--download", "2M", "--json")))
    assert told == {"weight": 3, "storage": 4000, "ceiling_download": 2_000_000}
    told = good(ask("policy", "films", "--priority", "high"))
    assert told == "weight 3, up to 4.0 kB of storage, 2 Mbit/s down\n"
    assert json.loads(good(ask("policy", "films", "--json")))["priority"] == "high"
    assert "films" in json.loads(good(ask("status", "--json")))["apps"]
    assert "1.0 MB of storage" in good(ask("policy"))
    good(ask("policy", "films", "--delete"))
    status, _, err = ask("policy", "films")
    assert (status, "not-found" in err) == (1, True)


def test_an_alto_server_that_does_not_answer_is_no_obstacle(ask):
    name = good(ask("put", "hello")).strip()
    servers = ("--server", "http://127.0.0.1:1", "--server", name.partition("/sha")[0].replace("ni:", "http:"))
    status, out, err = ask("get", name, *servers, "--alto", "http://127.0.0.1:1/")
    assert (status, out, err.count("--alto: ")) == (0, "Hello World!", 1)


def test_the_server_says_what_it_is(ask, served):
    found = json.loads(good(ask("info", "--json")))
    assert (found["server"], found["versions"]) == (served[0], [1])
    assert "sha-256" in good(ask("info"))


def test_what_is_too_much_is_refused_before_it_is_sent(ask, tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2_000_000)
    status, _, err = ask("put", "huge")
    assert (status, "storage-quota" in err) == (1, True)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(65 * 2**20)
    status, _, err = ask("put", "huge")
    assert (status, "--split cuts it" in err) == (2, True)


def test_a_key_is_made_for_its_owner_alone_and_not_made_anew(ask, tmp_path):
    told = good(ask("key", "new key.pem", "--account", "bob"))
    assert stat.S_IMODE((tmp_path / "new key.pem").stat().st_mode) == 0o600
    assert told.startswith('[accounts.bob.keys."new key"]\npublic = "')
    assert good(ask("key", "new key.pem", "--account", "bob")) == told
    assert ask("key", "hello")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("get", "ni:///sha-256;short"),
        ("get", "ni:///sha-256-32;f4OxZQ", "-o", "copy"),
        ("get", "https://x/y"),
        ("get", "nowhere", "-o", "copy"),
        ("get", "hello", "-o", "copy"),
        ("get", OTHER, "-o", "hello"),
        ("get", OTHER, "-o", "no/where"),
        ("get", OTHER, "-o", "/dev/null", "--force"),
        ("get", OTHER, "-o", ".", "--force"),
        ("get", OTHER, "-o", "x" * 300),
        ("get", OTHER, "-o", "dangling"),
        ("get", OTHER, "-o", "dangling", "--range", "0-1"),
        ("get", "https://["),
        ("get", "http://[::1]x/.well-known/ni/sha-256/a"),
        ("get", OTHER, "--range", "9-1"),
        ("get", OTHER, "--entry", "x"),
        ("get", OTHER, "--server", "storage.example"),
        ("get", OTHER, "--server", "http://192.0.2.1"),
        ("get", OTHER, "--token", "hello"),
        ("get", OTHER, "--token", "nowhere"),
        ("get", OTHER, "--cacert", "hello"),
        ("get", OTHER, "--key", "hello"),
        ("put", "nowhere"),
        ("put", "hello", "--expires", "soon"),
        ("put", "hello", "--media-type", "text"),
        ("put", "hello", "--split", "0"),
        ("put", "hello", "--split", "much"),
        ("put", "hello", "--index", "x"),
        ("put", "hello", "--server", "https://a.example", "--server", "https://b.example"),
        ("rm", "hello"),
        ("info", "hello"),
        ("mint",),
        ("mint", "--get", "nowhere"),
        ("mint", "--all", "everything"),
        ("mint", "--get", OTHER, "--in", "red"),
        ("mint", "--all", "get", "--in", "x" * 65),
        ("put", "hello", "--collection", ""),
        ("mint", "--all", "get", "--url"),
        ("mint", "--all", "get", "--rate", "1M", "--weight", "2"),
        ("mint", "--all", "get", "--rate", "fast"),
        ("mint", "--all", "get", "--for", "0"),
        ("mint", "--all", "get", "--uses", "1", "--server", "https://a.example", "--server", "https://b.example"),
        ("policy", "--weight", "2"),
        ("policy", "films", "--weight", "2", "--delete"),
        ("policy", "films", "--weight", "0"),
        ("revoke",),
        ("revoke", "token"),
        ("revoke", "--cti", "xyz"),
        ("revoke", "--cti", "00"),
        ("revoke", "--before", "then"),
        ("revoke", "--before", "now", "--cti", "00" * 16),
        ("revoke", "--key-of", "hello"),
        ("transfer", "pull", OTHER, "--from", "sa.example"),
        ("transfer", "status", "xyz"),
    ],
)
def test_a_mistake_gets_one_line(ask, words, tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "copy")
    status, out, err = ask(*words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("ietf-p2p: ")
    assert not (tmp_path / "copy").exists()


def test_nobody_there_is_told_in_one_line(ask):
    status, out, err = ask("status", "--server", "http://127.0.0.1:1")
    assert (status, out, len(err.splitlines())) == (1, "", 1)


def test_commands_have_help_that_ends_with_an_example(ask):
    for name in ("key", "put", "get", "mint", "revoke", "ls", "info", "rm", "policy", "status", "log", "transfer"):
        assert f"ietf-p2p decade {name}" in good(ask(name, "--help")).partition("Example")[2]


def test_a_file_has_a_label_of_its_publisher_and_is_fetched_by_it(ask, served, tmp_path):
    (tmp_path / "decade.toml").write_text(
        f'listen = "127.0.0.1:0"\nextensions = ["signed-names"]\n[accounts.alice.keys.laptop]\nfile = "{served[1]}"\n'
    )
    good(ask("key", "publisher.pem"))
    with processing(tmp_path / "decade.toml") as other:
        there = ("--server", other.url)
        label = ("--label", "live/1", "--publisher-key", "publisher.pem")
        url = good(ask("put", "hello", *label, *there)).strip()
        assert url.startswith(f"{other.url}/decade/v1/named/sha-256/")
        assert url.endswith("/bGl2ZS8x")
        assert good(ask("put", "hello", "--label", "0x6c6976652f31", *label[2:], *there)).strip() == url
        assert json.loads(good(ask("put", "hello", "--json", *label, *there)))["name"] == url
        assert good(ask("get", url)) == "Hello World!"
        good(ask("get", url, "-o", "copy"))
        assert (tmp_path / "copy").read_bytes() == b"Hello World!"
        status, _, err = ask("put", "large", *label, *there)
        assert (status, "conflict" in err) == (1, True)
        (tmp_path / "live").write_text(
            good(ask("mint", "--all", "get", "--publisher", "publisher.pem", "--prefix", "live/", *there))
        )
        (tmp_path / "dead").write_text(
            good(ask("mint", "--all", "get", "--publisher", "publisher.pem", "--prefix", "dead/", *there))
        )
        assert good(ask("get", url, "--token", "live")) == "Hello World!"
        assert ask("get", url, "--token", "dead")[0] == 1
        name = name_of(b"Hello World!").ni()
        assert ask("get", name, "--token", "live", *there)[0] == 1
        good(ask("rm", url, *there))
        assert ask("get", url)[0] == 1
        assert good(ask("get", name, *there)) == "Hello World!"
    wrong = (
        ("put", "hello", "--label", "x"),
        ("put", "hello", "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "", "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "0x", "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "0xzz", "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "x" * 65, "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "x", "--publisher-key", "hello"),
        ("put", "hello", "large", "--label", "x", "--publisher-key", "publisher.pem"),
        ("put", "hello", "--label", "x", "--publisher-key", "publisher.pem", "--claim"),
        ("get", url, "--range", "0-1"),
        ("get", url + "="),
        ("mint", "--all", "get", "--prefix", "x"),
        ("mint", "--publisher", "publisher.pem"),
        ("mint", "--all", "get", "--publisher", "hello"),
    )
    for words in wrong:
        status, out, err = ask(*words)
        assert (status, out, len(err.splitlines())) == (2, "", 1)


def test_who_has_a_token_for_a_collection_reads_what_is_in_it(ask, served, tmp_path):
    (tmp_path / "decade.toml").write_text(
        f'listen = "127.0.0.1:0"\nextensions = ["collections"]\n[accounts.alice.keys.laptop]\nfile = "{served[1]}"\n'
    )
    with processing(tmp_path / "decade.toml") as other:
        there = ("--server", other.url)
        name = good(ask("put", "hello", "--collection", "red", *there)).strip()
        outside = good(ask("put", "large", *there)).strip()
        for word, seen in (("red", True), ("blue", False)):
            (tmp_path / word).write_text(good(ask("mint", "--all", "get", "--in", word, *there)))
            assert (ask("get", name, "--token", word, *there)[0] == 0) is seen
            assert ask("get", outside, "--token", word, *there)[0] == 1
        (tmp_path / "both").write_text(good(ask("mint", "--all", "get,put", "--collection", "red", *there)))
        assert good(ask("get", name, "--token", "both", *there)) == "Hello World!"
        assert ask("get", outside, "--token", "both", "-o", "copy", *there)[0] == 1
        good(ask("put", "large", "--token", "both", *there))
        good(ask("get", outside, "--token", "both", "-o", "copy", *there))
    assert (tmp_path / "copy").read_bytes() == LARGE
    status, _, err = ask("put", "hello", "--collection", "red")
    assert status == 1
    assert "attribute-not-permitted" in err
