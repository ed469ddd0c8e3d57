"""`ietf-p2p decade mint` for a holder: tokens that ask for a proof, and tokens below them."""

import json
import signal
import subprocess
import sys
from ipaddress import ip_network

import pytest
from decade_tokens import MAC, NOW, SIGNING

from decade import cbor
from decade.attenuation import link_fault
from decade.cose import Ed25519SigningKey, Es256SigningKey
from decade.errors import EncodeError
from decade.issuer import Issuer
from decade.names import name_of
from decade.scope import Everything, Object, Operation, TokenPolicy
from decade.tokens import claims_of
from decade.values import BitRate, Priority
from interop.__main__ import main
from interop.cli.decade._words import read_token

SERVERS = ("https://sb.example",)
HELLO = name_of(b"Hello World!")
HOLDER, NEXT = Ed25519SigningKey(bytes([1] * 32)), Es256SigningKey(bytes([2] * 32))
READ = ((Everything(), Operation.GET | Operation.DELEGATE),)


def test_what_is_passed_on_has_the_bounds_of_its_parent_where_nothing_is_said():
    policy = TokenPolicy(uses=9, amount=99, priority=Priority.LOW, bandwidth=BitRate(8000), levels=2)
    parent = Issuer(SIGNING, SERVERS).grant(READ, policy, wall=NOW, lifetime=60, holder=HOLDER.public)
    scope = ((Object(HELLO), Operation.GET | Operation.DELEGATE),)
    passed = Issuer(HOLDER, SERVERS).pass_on(
        parent.token, scope, TokenPolicy(uses=2, levels=1), wall=NOW + 30, holder=NEXT.public
    )
    above, claims = claims_of(parent.token), claims_of(passed.token)
    assert link_fault(above, claims) is None
    assert claims.exp == above.exp == NOW + 60
    assert claims.policy == TokenPolicy(uses=2, amount=99, priority=Priority.LOW, bandwidth=BitRate(8000), levels=1)
    assert claims.cnf.key == NEXT.public.cose_key
    last = Issuer(NEXT, SERVERS).pass_on(passed.token, ((Object(HELLO), Operation.GET),), TokenPolicy(), wall=NOW + 30)
    assert claims_of(last.token).policy == TokenPolicy(
        uses=2, amount=99, priority=Priority.LOW, bandwidth=BitRate(8000)
    )


@pytest.mark.parametrize(
    ("key", "scope", "policy"),
    [
        (HOLDER, READ, TokenPolicy(uses=10)),
        (HOLDER, ((Everything(), Operation.PUT),), TokenPolicy()),
        (HOLDER, READ, TokenPolicy(levels=1)),
        (NEXT, READ, TokenPolicy()),
        (MAC, READ, TokenPolicy()),
    ],
)
def test_more_than_the_parent_permits_is_not_passed_on(key, scope, policy):
    granted = TokenPolicy(uses=9, levels=1)
    parent = Issuer(SIGNING, SERVERS).grant(READ, granted, wall=NOW, holder=HOLDER.public)
    with pytest.raises(EncodeError):
        Issuer(key, SERVERS).pass_on(parent.token, scope, policy, wall=NOW)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that knows Alice, and its folder with the keys of Alice, Bob and Carol."""
    folder = tmp_path_factory.mktemp("grants")
    for name in ("alice", "bob", "carol"):
        main(["decade", "key", str(folder / f"{name}.pem")])
    config = folder / "decade.toml"
    config.write_text(
        'extensions = ["delegation", "pop"]\nlisten = "127.0.0.1:0"\n[accounts.alice.keys.a]\nfile = "alice.pem"\n'
    )
    command = [sys.executable, "-m", "interop", "decade", "serve", "--json", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            yield json.loads(server.stdout.readline())["server"], folder
        finally:
            server.send_signal(signal.SIGTERM)


@pytest.fixture
def ask(served, tmp_path, monkeypatch, capfd):
    """Run a command as somebody, with a token or without: the exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hello").write_bytes(b"Hello World!")
    monkeypatch.setenv("DECADE_SERVER", served[0])
    for name in ("DECADE_KEY", "DECADE_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def asked(who, *words, token=None):
        if token is not None:
            (tmp_path / "token").write_text(token)
            words = (*words, "--token", "token")
        key = () if who is None else ("--key", str(served[1] / f"{who}.pem"))
        capfd.readouterr()
        return main(["decade", words[0], *key, *words[1:]]), *capfd.readouterr()

    return asked


def good(result):
    status, out, err = result
    assert status == 0, err
    return out


def says(text):
    return claims_of(read_token(text).token)


def test_only_the_holder_uses_a_token_and_passes_it_on(ask, served):
    bob, carol = (str(served[1] / f"{who}.pem") for who in ("bob", "carol"))
    granted = good(ask("alice", "mint", "--all", "get,put", "--holder", bob, "--levels", "2"))
    name = good(ask("bob", "put", "hello", token=granted)).strip()
    assert good(ask("bob", "get", name, token=granted)) == "Hello World!"
    for who in ("alice", "carol", None):
        status, _, err = ask(who, "get", name, token=granted)
        assert (status, err.count("\n")) == (2, 1)
        assert "the key that it names" in err
    below = good(ask("bob", "mint", "--below", "token", "--get", "hello", "--holder", carol, "--uses", "2"))
    assert good(ask("carol", "get", name, token=below)) == "Hello World!"
    status, _, err = ask("carol", "put", "hello", token=below)
    assert (status, "op-not-permitted" in err) == (1, True)
    anybody = good(ask("bob", "mint", "--below", granted.strip(), "--get", "hello", "--for", "1h"))
    assert good(ask(None, "get", name, token=anybody)) == "Hello World!"
    assert says(anybody).exp == says(granted).exp


def test_a_holder_may_be_given_as_text(ask, served, tmp_path):
    printed = good(ask(None, "key", str(served[1] / "bob.pem")))
    public = printed.partition('public = "')[2].partition('"')[0]
    granted = good(ask("alice", "mint", "--all", "get", "--holder", public))
    assert says(granted).cnf.key[-2]
    (tmp_path / "secret").write_bytes(cbor.encode({1: 4, 2: b"k", -1: bytes(32)}))
    for holder in ("secret", "nowhere", "A" * 43):
        status, _, err = ask("alice", "mint", "--all", "get", "--holder", holder)
        assert (status, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all", "get", "--levels", "1"), "--holder KEY is due"),
        (("--get", "hello", "--holder", "KEY", "--url"), "anybody"),
        (("--below", "hello", "--get", "hello"), "token"),
        (("--below", "GRANT", "--all", "put"), "scope: more than its parent's"),
    ],
)
def test_a_grant_that_cannot_be_is_one_sentence(ask, served, words, said):
    bob = str(served[1] / "bob.pem")
    granted = good(ask("alice", "mint", "--all", "get", "--holder", bob, "--levels", "1")).strip()
    words = tuple({"KEY": bob, "GRANT": granted}.get(word, word) for word in words)
    status, _, err = ask("bob", "mint", *words)
    assert (status, err.count("\n"), said in err) == (2, 1, True), err


def test_a_token_may_be_for_addresses_and_for_an_application(ask):
    words = ("--address", "192.0.2.0/24", "--address", "2001:db8::/32", "--app", "films/old")
    policy = says(good(ask("alice", "mint", "--all", "get", *words))).policy
    assert policy == TokenPolicy(
        ip_prefixes=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")), app_path=("films", "old")
    )
    for wrong in (("--address", "192.0.2.1/24"), ("--app", "")):
        status, _, err = ask("alice", "mint", "--all", "get", *wrong)
        assert (status, err.count("\n")) == (2, 1)


def test_a_server_is_due_unless_a_parent_names_it(ask, served, monkeypatch):
    bob = str(served[1] / "bob.pem")
    granted = good(ask("alice", "mint", "--all", "get", "--holder", bob, "--levels", "1"))
    monkeypatch.delenv("DECADE_SERVER")
    status, _, err = ask("alice", "mint", "--all", "get")
    assert (status, "--server" in err) == (2, True)
    below = good(ask("bob", "mint", "--below", granted.strip(), "--all", "get"))
    assert says(below).aud == (served[0],)
