"""Peer exchange on real sockets: live swarms, gateways, and membership certificates of the command line and of OpenSSL.

Everything is on loopback, whose addresses peers tell each other there, and nobody elsewhere (RFC 7574 section 8.13).
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from aioice import stun
from ppsp_gateway import curl

from interop import _nat_traversal, _whole_files
from interop import peer as peer_module
from interop.__main__ import main as command_line
from interop.cli import _pex
from interop.cli._errors import MistakeError
from interop.cli._pex import Pex
from interop.live import LivePeer
from interop.membership_keys import MembershipFileError, make_issuer, read_authority, read_certificate, read_issuer
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from ppsp import ContentIntegrityProtection, MerkleHashFunction, MerkleTree, SwarmMetadata, SwarmUri, hash_chunks
from ppsp.events import PeerConnected, PeerFound
from ppsp.livekeys import LiveSigner
from ppsp.membership import MembershipIssuer, MembershipVerifier
from ppsp.pex import PeerExchange
from ppsp.store import MemoryStore

LOCAL = ("127.0.0.1", 0)
ANY = "127.0.0.1:0"
KEY = LiveSigner.generate()
LIVE = SwarmUri(SwarmMetadata(KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE))
ADDRESSES = PeerExchange(addresses=True)


def run(main):
    async def bounded():
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


async def until(condition):
    """Wait until it holds; the test as a whole has a deadline."""
    while not condition():  # noqa: ASYNC110 - it is not told
        await asyncio.sleep(0.02)


def at(address):
    return f"{address[0]}:{address[1]}"


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.05)
    return found


def size(path):
    return path.stat().st_size if path.exists() else 0


def stats_of(process, cli):
    """How to ask a `play --json` for its statistics, and its content."""
    while (event := json.loads(cli.line(process)))["event"] != "playing":
        pass
    return (lambda: json.loads(curl(event["stats"]))), event["url"]


def found_by_exchange(stats):
    """The statistics, once another peer has named one that is connected."""
    return stats if any(peer["by_exchange"] for peer in stats["peers"]) else None


# Live


class Station:
    """A source at 2 Mbit/s in this process; `sent` is all that it has published."""

    def __init__(self, source):
        self.source = source
        self.sent = bytearray()

    async def broadcast(self):
        while True:
            octets = os.urandom(5000)
            self.source.publish(octets)
            self.sent += octets
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def station(**words):
    async with LivePeer(LIVE, signer=KEY, local=LOCAL, **words) as source:
        made = Station(source)
        task = asyncio.create_task(made.broadcast())
        try:
            yield made
        finally:
            task.cancel()


def test_a_player_that_knows_one_peer_finds_the_source_by_exchange_and_plays_on_when_that_peer_is_killed(cli, tmp_path):
    """Real processes: a source, a relay that is killed, and a gateway whose player gets every octet."""

    async def main():
        async with station(exchange=ADDRESSES) as on:
            words = ("--pex", "--listen", ANY)
            relay = cli.start(
                "fetch", "--live", str(LIVE), "-o", "relay", "--peer", at(on.source.local_address), *words
            )
            await until(lambda: on.source.stats.peers)
            (known,) = [peer.address for peer in on.source.stats.peers]
            viewer = cli.start("play", str(LIVE), "--peer", at(known), "--json", *words)
            stats, url = await asyncio.to_thread(stats_of, viewer, cli)
            player = await asyncio.create_subprocess_exec("curl", "-s", "-o", str(tmp_path / "seen"), url)
            await until(lambda: len(on.source.stats.peers) == 2 and size(tmp_path / "seen") > 50_000)
            relay.send_signal(signal.SIGKILL)
            seen = size(tmp_path / "seen")
            await until(lambda: size(tmp_path / "seen") > seen + 500_000)
            told = await asyncio.to_thread(stats)
            on.source.end()
            await player.wait()
            return told, bytes(on.sent), on.source.stats.exchange

    told, sent, source = run(main)
    assert told["exchange"]["asked"] >= 1
    assert told["exchange"]["told"] >= 1
    assert any(peer["by_exchange"] for peer in told["peers"])
    assert source.asked == 0
    assert source.answered >= 1
    got = (tmp_path / "seen").read_bytes()
    # It ends where the source did, but for a piece that was published while the end was on its way.
    assert got in sent


def test_the_commands_live_and_fetch_exchange_peers(cli, tmp_path):
    """The source is a process, too; the relay leaves as soon as it has named the source."""
    content = os.urandom(50_000_000)
    (tmp_path / "film").write_bytes(content)
    source = cli.start("live", "film", "--key", "key", "--listen", ANY, "--rate", "4M", "--pex")
    uri = cli.line(source).strip()
    address = wait_for(lambda: cli.stderr_of(source).partition("broadcasting on ")[2].partition(",")[0])
    host, _, port = address.rpartition(":")
    copy = tmp_path / "copy"

    async def main():
        async with LivePeer(SwarmUri.parse(uri), local=LOCAL, peers=[(host, int(port))], exchange=ADDRESSES) as relay:
            words = ("--pex", "--listen", ANY, "--peer", at(relay.local_address))
            viewer = cli.start("fetch", "--live", uri, "-o", "copy", *words)
            await until(lambda: relay.stats.exchange.named and size(copy))
        return viewer

    viewer = run(main)
    seen = size(copy)
    wait_for(lambda: size(copy) > seen + 500_000)
    for process in (viewer, source):
        assert cli.stop(process, signal.SIGINT) == 130
        assert "Traceback" not in cli.stderr_of(process)
    assert copy.read_bytes() in content


def test_a_viewer_tells_programs_what_was_exchanged(cli, tmp_path):
    async def main():
        async with station(exchange=ADDRESSES) as on:
            words = ("--peer", at(on.source.local_address), "--pex", "--listen", ANY, "--json")
            viewer = cli.start("fetch", "--live", str(LIVE), "-o", "copy", *words)
            await until(lambda: size(tmp_path / "copy") and on.source.stats.exchange.answered)
            on.source.end()
            return await asyncio.to_thread(cli.finish, viewer)

    status, out, err = run(main)
    assert status == 0, err
    ended = json.loads(out.splitlines()[-1])
    assert (ended["event"], ended["exchange"]["told"]) == ("ended", 0)
    assert ended["exchange"]["asked"] >= 1


def test_who_has_as_many_peers_as_a_tracker_names_calls_none_that_others_name(monkeypatch):
    """The others of the channels are for those who call, and for trackers (section 3.10.1)."""
    monkeypatch.setattr(peer_module, "_MOST_PEERS", 1)
    found = []

    def note(event):
        if isinstance(event, PeerFound):
            found.append((event.host, event.port))

    async def main():
        words = {"local": LOCAL, "exchange": ADDRESSES}
        async with station(exchange=ADDRESSES) as on, LivePeer(LIVE, peers=[on.source.local_address], **words) as known:
            await until(lambda: known.stats.peers)
            async with LivePeer(LIVE, peers=[known.local_address], on_event=note, **words) as viewer:
                await until(lambda: found)
                await asyncio.sleep(0.3)  # what it would do it would have begun by then
                peers = [peer.address for peer in viewer.stats.peers]
                return peers == [known.local_address], found == [on.source.local_address]

    kept_to_one, was_told = run(main)
    assert was_told
    assert kept_to_one


def test_a_source_calls_nobody_that_is_named_not_even_members():
    """Section 12.2.3, attack E1: a live source is not led to the friends of strangers."""
    issuer = MembershipIssuer.generate(os.urandom)
    uri = SwarmUri(attrs.evolve(LIVE.metadata, membership_key=issuer.public_key))
    exchange = PeerExchange.of(uri.metadata)
    met = []

    def note(event):
        if isinstance(event, PeerConnected):
            met.append(event.address)

    async def main():
        words = {"local": LOCAL, "exchange": exchange}
        async with (
            LivePeer(uri, on_event=note, **words) as member,
            LivePeer(uri, peers=[member.local_address], **words) as viewer,
        ):
            member.certify(issuer.issue(uri.metadata.swarm_id, *member.local_address, time.time()))
            viewer.certify(issuer.issue(uri.metadata.swarm_id, *viewer.local_address, time.time()))
            await until(lambda: member.stats.exchange.named)
            async with LivePeer(uri, signer=KEY, peers=[viewer.local_address], **words) as source:
                await until(lambda: source.stats.exchange.told)
                await asyncio.sleep(0.3)  # what it would do it would have begun by then
                return source.stats.exchange, [peer.address for peer in source.stats.peers], viewer.local_address

    figures, known, viewer = run(main)
    assert figures.asked == 1
    assert figures.told == 1
    assert known == met == [viewer]


# Certificates


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(os.urandom(400_000))
    return path


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


CA = ("req", "-x509", "-new", "-key", "ca.pem", "-subj", "/CN=PPSP membership", "-days", "2", "-out", "ca.crt")
SIGNS = ("-addext", "keyUsage=critical,keyCertSign")


def test_members_with_certificates_find_each_other_and_openssl_agrees_about_them(cli, film, tmp_path):
    """Section 12.2.2: the publisher issues; a player that knows one member is named the source by its certificate."""
    status, public, err = cli.run("pex", "key", "ca.pem")
    assert status == 0, err
    assert openssl(tmp_path, "pkey", "-in", "ca.pem", "-pubout") == public
    source, swarm = cli.seed(film, "--pex-ca", "ca.pem", "--upload-limit", "60K")
    uri = SwarmUri.parse(swarm["uri"])
    assert uri.metadata.membership_key == read_authority(tmp_path / "ca.pem").public_key
    host, _, port = swarm["listen"].rpartition(":")

    async def main():
        exchange = PeerExchange.of(uri.metadata)
        named = {"peers": [(host, int(port))], "exchange": exchange, "upload_rate": 20_000.0}
        async with SwarmPeer(uri, MemoryStore(), local=LOCAL, **named) as member:
            where = at(member.local_address)
            await until(lambda: member.stats.peers)
            issued = await asyncio.to_thread(cli.run, "pex", "issue", "ca.pem", swarm["uri"], where, "-o", "member.pem")
            assert issued[0] == 0, issued[2]
            member.certify(read_certificate(tmp_path / "member.pem"))
            await until(lambda: any(peer.address == (host, int(port)) for peer in member.stats.peers))
            words = ("-o", "copy", "--listen", ANY, "--peer", where, "--pex", "--json")
            viewer = cli.start("play", swarm["uri"], *words)
            stats, _ = await asyncio.to_thread(stats_of, viewer, cli)
            found = await asyncio.to_thread(wait_for, lambda: found_by_exchange(stats()))
            return member.local_address, found

    member, found = run(main)
    (named,) = [peer["address"] for peer in found["peers"] if peer["by_exchange"]]
    assert named == [host, int(port)]
    assert found["exchange"]["told"] >= 1
    assert found["exchange"]["refused"] == 0
    text = openssl(tmp_path, "x509", "-in", "member.pem", "-noout", "-text")
    assert "Version: 3" in text
    assert (
        f"Subject Alternative Name: critical\n                URI:file://{at(member)}/{uri.metadata.swarm_id.hex()}"
        in text
    )
    openssl(tmp_path, *CA, *SIGNS)
    verified = openssl(tmp_path, "verify", "-x509_strict", "-CAfile", "ca.crt", "member.pem")
    assert verified == "member.pem: OK\n"
    assert "Traceback" not in cli.stderr_of(source)


def test_a_certificate_that_openssl_has_made_is_taken(tmp_path):
    """Keys and a certificate by OpenSSL, as section 8.13 describes it; we only check it."""
    openssl(tmp_path, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ca.pem")
    openssl(tmp_path, *CA)
    openssl(tmp_path, "pkey", "-in", "ca.pem", "-pubout", "-out", "ca.pub")
    member = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "member.key", "-subj", "/CN=a member")
    openssl(tmp_path, *member, "-out", "member.csr")
    swarm_id = bytes(range(32))
    (tmp_path / "san").write_text(f"subjectAltName=critical,URI:file://192.0.2.0:6778/{swarm_id.hex()}\n")
    signed = ("x509", "-req", "-in", "member.csr", "-CA", "ca.crt", "-CAkey", "ca.pem", "-days", "2")
    openssl(tmp_path, *signed, "-set_serial", "7", "-extfile", "san", "-out", "member.pem")
    verifier = MembershipVerifier(read_authority(tmp_path / "ca.pub").public_key)
    certificate = read_certificate(tmp_path / "member.pem")
    assert verifier.check(certificate, swarm_id, time.time()) == ("192.0.2.0", 6778)


@pytest.mark.parametrize("asks_for_certificates", [False, True], ids=["plain", "certified"])
def test_a_fetch_believes_plain_addresses_only_where_the_metadata_ask_for_no_certificates(
    cli, film, tmp_path, asks_for_certificates
):
    """Section 3.10.1. Two peers speak plain PEX, whatever the metadata; the fetch knows the second by name alone."""
    content = film.read_bytes()
    tree = MerkleTree.from_leaves(hash_chunks(content, 1024, MerkleHashFunction.SHA256), MerkleHashFunction.SHA256)
    plain = SwarmUri(SwarmMetadata(tree.root))
    key = make_issuer(tmp_path / "ca.pem").public_key if asks_for_certificates else None
    given = SwarmUri(SwarmMetadata(tree.root, membership_key=key))
    met = []

    def note(event):
        if isinstance(event, PeerConnected):
            met.append(event.address)

    async def main():
        whole = {"tree": tree, "content_size": len(content), "local": LOCAL, "exchange": ADDRESSES}
        async with (
            SwarmPeer(plain, MemoryStore(content), upload_rate=200_000.0, **whole) as known,
            SwarmPeer(plain, MemoryStore(content), on_event=note, **whole) as named,
        ):
            named.connect(known.local_address)
            await until(lambda: met)
            words = ("--peer", at(known.local_address), "--pex")
            status, out, err = await asyncio.to_thread(cli.finish, cli.fetch(str(given), "copy", *words))
            assert status == 0, err
            return known.stats.exchange, json.loads(out.splitlines()[-1])["exchange"]

    exchange, told = run(main)
    assert len(met) == (1 if asks_for_certificates else 2)
    assert exchange.answered == 1
    assert exchange.named == (0 if asks_for_certificates else 1)
    assert set(told) == {"asked", "told", "answered", "named", "refused"}
    assert told["asked"] >= 1
    assert bool(told["told"]) is not asks_for_certificates


def test_nothing_is_issued_where_no_peer_of_the_swarm_answers(cli, film, tmp_path):
    """Section 12.2.2: "a return routability check" keeps anybody from a certificate for a random host."""
    make_issuer(tmp_path / "ca.pem")
    _, swarm = cli.seed(film, "--pex-ca", "ca.pem")
    issue = ("pex", "issue", "ca.pem", swarm["uri"])
    status, out, err = cli.run(*issue, "127.0.0.1:9", "--timeout", "0.5")
    assert (status, out) == (1, "")
    assert err == "ietf-p2p: no peer of this swarm answers at 127.0.0.1:9, and nothing is issued\n"
    status, out, err = cli.run(*issue, "203.0.113.5:6778", "--unchecked", "--days", "0.5")
    assert status == 0, err
    assert out.startswith("-----BEGIN CERTIFICATE-----\n")


def test_who_calls_the_issuer_meanwhile_gets_no_certificate_for_the_address_of_another(cli, film, tmp_path):
    """It is a peer of the swarm, told by an accomplice at that address where the issuer asks from."""
    make_issuer(tmp_path / "ca.pem")
    _, swarm = cli.seed(film, "--pex-ca", "ca.pem")

    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as victim:
            victim.bind(LOCAL)
            victim.setblocking(False)
            where = at(victim.getsockname())
            issuing = cli.start("pex", "issue", "ca.pem", swarm["uri"], where, "--timeout", "2")
            _, issuer = await asyncio.get_running_loop().sock_recvfrom(victim, 2048)
            uri = attrs.evolve(SwarmUri.parse(swarm["uri"]), trackers=())
            async with SwarmPeer(uri, MemoryStore(), local=LOCAL, peers=[issuer]) as caller:
                await until(lambda: caller.stats.peers or issuing.poll() is not None)
                return where, await asyncio.to_thread(cli.finish, issuing)

    where, (status, out, err) = run(main)
    assert (status, out) == (1, "")
    assert err == f"ietf-p2p: no peer of this swarm answers at {where}, and nothing is issued\n"


def test_a_source_without_the_issuers_key_is_certified_while_it_broadcasts(cli, tmp_path):
    """It comes later, since the issuer asks the source first; a damaged one is told and changes nothing."""
    _, public, _ = cli.run("pex", "key", "ca.pem")
    (tmp_path / "ca.pub").write_text(public)
    (tmp_path / "film").write_bytes(bytes(50_000_000))
    words = ("--pex-ca", "ca.pub", "--pex-certificate", "own.pem")
    source = cli.start("live", "film", "--key", "key", "--listen", ANY, "--rate", "1M", *words)
    uri = cli.line(source).strip()
    address = wait_for(lambda: cli.stderr_of(source).partition("broadcasting on ")[2].partition(",")[0])
    wait_for(lambda: "no certificate of our own yet" in cli.stderr_of(source))
    status, out, err = cli.run("pex", "issue", "ca.pem", uri, address, "-o", "own.pem")
    assert (status, out) == (0, ""), err
    wait_for(lambda: f"certified to others: we are at {address}\n" in cli.stderr_of(source))
    host, _, port = address.rpartition(":")

    async def main():
        exchange = PeerExchange.of(SwarmUri.parse(uri).metadata)
        async with LivePeer(SwarmUri.parse(uri), local=LOCAL, peers=[(host, int(port))], exchange=exchange) as viewer:
            await until(lambda: viewer.stats.exchange.asked)
            # The source's own certificate leads to nobody new, so it is neither told nor refused: it is passed on.
            async with LivePeer(
                SwarmUri.parse(uri), local=LOCAL, peers=[viewer.local_address], exchange=exchange
            ) as last:
                await until(lambda: any(peer.by_exchange for peer in last.stats.peers))
                return [peer.address for peer in last.stats.peers if peer.by_exchange]

    assert run(main) == [(host, int(port))]
    (tmp_path / "own.pem").write_text("nothing")
    wait_for(lambda: "own.pem: no certificate in PEM" in cli.stderr_of(source))
    assert source.poll() is None


class Stun(asyncio.DatagramProtocol):
    """A server that sees everybody at `seen`."""

    seen = ("203.0.113.7", 4000)

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        asked = stun.parse_message(data)
        mapped = {"XOR-MAPPED-ADDRESS": self.seen}
        self.transport.sendto(
            bytes(stun.Message(asked.message_method, stun.Class.RESPONSE, asked.transaction_id, mapped)), addr
        )


@contextlib.asynccontextmanager
async def behind_nat(uri, **words):
    """A member of the swarm, and the STUN server that it asks."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(Stun, local_addr=LOCAL)
    try:
        nat = NatSettings(stun=transport.get_extra_info("sockname")[:2])
        exchange = PeerExchange.of(uri.metadata)
        async with SwarmPeer(uri, MemoryStore(), peers=[("127.0.0.1", 9)], nat=nat, exchange=exchange, **words) as peer:
            yield peer, server
    finally:
        transport.close()


@pytest.fixture
def notes(monkeypatch):
    """What the person is told of certificates."""
    told = []
    monkeypatch.setattr(_pex, "note", told.append)
    return told


def test_who_issues_its_own_certificate_has_it_for_where_a_stun_server_sees_it(monkeypatch, notes, tmp_path):
    """Section 12.2.2: "the external IP and port"; it is issued anew when the NAT has given another."""
    monkeypatch.setattr(_nat_traversal, "KEEPALIVE_SECONDS", 0.1)
    make_issuer(tmp_path / "ca.pem")
    authority = read_authority(tmp_path / "ca.pem")
    uri = SwarmUri(SwarmMetadata(bytes(32), membership_key=authority.public_key))
    seen = []

    async def told(peer):
        """Whom somebody new hears of from the peer."""
        found = []
        words = {"local": LOCAL, "exchange": PeerExchange.of(uri.metadata), "on_event": found.append}
        async with SwarmPeer(uri, MemoryStore(), peers=[("127.0.0.1", peer.local_address[1])], **words):
            await until(lambda: any(isinstance(event, PeerFound) for event in found))
        seen.append({(event.host, event.port) for event in found if isinstance(event, PeerFound)})

    async def main():
        async with behind_nat(uri) as (peer, server), Pex(True, (), authority).certified(peer):
            await until(lambda: "certified to others: we are at 203.0.113.7:4000" in notes)
            await told(peer)
            server.seen = ("203.0.113.8", 5000)
            await until(lambda: "certified to others: we are at 203.0.113.8:5000" in notes)
            await told(peer)

    run(main)
    assert seen == [{("203.0.113.7", 4000)}, {("203.0.113.8", 5000)}]


def test_who_issues_its_own_certificate_renews_it(monkeypatch, tmp_path):
    """At half of its life, and when the clock was set back."""
    make_issuer(tmp_path / "ca.pem")
    authority = read_authority(tmp_path / "ca.pem")
    uri = SwarmUri(SwarmMetadata(bytes(32), membership_key=authority.public_key))
    clock = [1_700_000_000.0]
    monkeypatch.setattr(_pex, "time", SimpleNamespace(time=lambda: clock[0]))
    monkeypatch.setattr(_pex, "_LOOK_SECONDS", 0.02)
    issued = []

    async def main():
        words = {"local": LOCAL, "peers": [("127.0.0.1", 9)], "exchange": PeerExchange.of(uri.metadata)}
        async with SwarmPeer(uri, MemoryStore(), **words) as peer:
            monkeypatch.setattr(peer, "certify", lambda certificate: issued.append(clock[0]))
            async with Pex(True, (), authority).certified(peer):
                for count, later in ((1, 40_000.0), (1, 10_000.0), (2, -100_000.0), (3, 0.0)):
                    await until(lambda count=count: len(issued) >= count)
                    await asyncio.sleep(0.1)
                    clock[0] += later

    run(main)
    assert issued == [1_700_000_000.0, 1_700_050_000.0, 1_699_950_000.0]


def test_a_peer_behind_a_nat_says_for_which_address_it_wants_a_certificate(notes, tmp_path):
    make_issuer(tmp_path / "ca.pem")
    uri = SwarmUri(SwarmMetadata(bytes(32), membership_key=read_authority(tmp_path / "ca.pem").public_key))

    async def main():
        async with behind_nat(uri) as (peer, _):
            await until(lambda: peer.seen_at)
            async with Pex(True, (tmp_path / "own.pem",), None).certified(peer):
                await until(lambda: notes)

    run(main)
    assert notes == ["no certificate of our own yet: `ietf-p2p pex issue` makes one for 203.0.113.7:4000"]


def test_who_has_a_certificate_that_ends_is_told(monkeypatch, notes, tmp_path):
    issuer = make_issuer(tmp_path / "ca.pem")
    uri = SwarmUri(SwarmMetadata(bytes(32), membership_key=issuer.public_key))
    _whole_files.replace(
        tmp_path / "own.pem",
        ssl.DER_cert_to_PEM_cert(issuer.issue(bytes(32), "203.0.113.5", 6778, time.time(), lifetime=600)).encode(),
    )
    later = [0.0]
    monkeypatch.setattr(_pex, "time", SimpleNamespace(time=lambda: time.time() + later[0]))
    monkeypatch.setattr(_pex, "_LOOK_SECONDS", 0.02)

    async def main():
        exchange = PeerExchange.of(uri.metadata)
        words = {"local": LOCAL, "peers": [("127.0.0.1", 9)], "exchange": exchange}
        async with (
            SwarmPeer(uri, MemoryStore(), **words) as peer,
            Pex(True, (tmp_path / "own.pem",), None).certified(peer),
        ):
            await until(lambda: notes)
            for later[0] in (120.0, 240.0, 2000.0, 3000.0):
                await asyncio.sleep(0.2)
            await until(lambda: len(notes) == 2)

    run(main)
    assert notes[0] == "certified to others: we are at 203.0.113.5:6778"
    assert notes[1].endswith("own.pem: the membership is over, or has not begun")


# Files, and mistakes


def test_keys_and_certificates_that_cannot_be_used_are_refused_in_one_line(tmp_path):
    issuer = make_issuer(tmp_path / "ca.pem")
    assert (tmp_path / "ca.pem").stat().st_mode & 0o777 == 0o600
    assert read_issuer(tmp_path / "ca.pem").public_key == issuer.public_key
    with pytest.raises(MembershipFileError, match="File exists"):
        make_issuer(tmp_path / "ca.pem")
    openssl(tmp_path, "pkey", "-in", "ca.pem", "-pubout", "-out", "ca.pub")
    with pytest.raises(MembershipFileError, match="the private one is due"):
        read_issuer(tmp_path / "ca.pub")
    for mode in (0o640, 0o604):
        (tmp_path / "ca.pem").chmod(mode)
        with pytest.raises(MembershipFileError, match="others may read"):
            read_authority(tmp_path / "ca.pem")
    openssl(tmp_path, "genpkey", "-algorithm", "ED25519", "-out", "ed.pem")
    openssl(tmp_path, "pkey", "-in", "ed.pem", "-pubout", "-out", "ed.pub")
    (tmp_path / "none").write_bytes(b"nothing")
    for name in ("ed.pem", "ed.pub", "none", "missing"):
        with pytest.raises(MembershipFileError, match=name):
            read_authority(tmp_path / name)
    for name in ("none", "ca.pub", "missing"):
        with pytest.raises(MembershipFileError, match=name):
            read_certificate(tmp_path / name)


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """A folder with keys, certificates and URIs that do not fit each other."""
    folder: Path = tmp_path_factory.mktemp("mistakes")
    issuer, other = make_issuer(folder / "ca.pem"), make_issuer(folder / "other.pem")
    certificates = {
        "good": issuer.issue(bytes(32), "203.0.113.5", 6778, time.time()),
        "expired": issuer.issue(bytes(32), "203.0.113.5", 6778, time.time() - 200_000),
        "elsewhere": issuer.issue(bytes([1] * 32), "203.0.113.5", 6778, time.time()),
        "stranger": other.issue(bytes(32), "203.0.113.5", 6778, time.time()),
    }
    for name, certificate in certificates.items():
        (folder / f"{name}.der").write_bytes(certificate)
        openssl(folder, "x509", "-inform", "DER", "-in", f"{name}.der", "-out", f"{name}.pem")
    (folder / "film").write_bytes(b"film")
    return folder, str(SwarmUri(SwarmMetadata(bytes(32), membership_key=issuer.public_key), name="film"))


PLAIN = str(SwarmUri(SwarmMetadata(bytes(32))))
FETCH = ("--peer", "127.0.0.1:9", "-o", "copy")


def test_of_several_swarms_one_may_have_its_certificate_while_that_of_another_is_to_come(mistakes):
    folder, uri = mistakes
    metadata = SwarmUri.parse(uri).metadata
    files = (folder / "elsewhere.pem", folder / "to-come.pem", folder / ("x" * 5000))
    assert Pex(False, files, None).exchange(metadata).verifier is not None
    with pytest.raises(MistakeError, match="of another swarm"):
        Pex(False, files[:1], None).exchange(metadata)


@pytest.mark.parametrize("kind", ["weak key", "version 8"])
def test_what_the_library_does_not_support_is_one_line_too(mistakes, kind):
    folder, _ = mistakes
    if kind == "weak key":
        openssl(folder, "ecparam", "-name", "secp112r1", "-genkey", "-noout", "-out", "weak.key")
        openssl(folder, "pkey", "-in", "weak.key", "-pubout", "-out", "weak.pub")
        with pytest.raises(MembershipFileError, match=r"weak\.pub: .*not supported"):
            read_authority(folder / "weak.pub")
    else:
        octets = (folder / "good.der").read_bytes().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
        (folder / "odd.pem").write_text(ssl.DER_cert_to_PEM_cert(octets))
        with pytest.raises(MembershipFileError, match=r"odd\.pem: .*version"):
            read_certificate(folder / "odd.pem")


def test_a_key_that_cannot_be_written_whole_is_not_there(tmp_path, monkeypatch):
    """A file with a part of a key would be in the way of the next try."""

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_whole_files.os, "fsync", full)
    with pytest.raises(MembershipFileError, match="No space left"):
        make_issuer(tmp_path / "ca.pem")
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_is_not_written_over_the_key_and_replaces_an_older_one(mistakes, monkeypatch, capsys):
    folder, uri = mistakes
    monkeypatch.chdir(folder)
    words = ["pex", "issue", "ca.pem", uri, "[::ffff:203.0.113.5]:77", "--unchecked", "-o"]
    before = (folder / "ca.pem").read_bytes()
    assert command_line([*words, "../" + folder.name + "/ca.pem"]) == 2
    assert (folder / "ca.pem").read_bytes() == before
    (folder / "older.pem").write_text("older")
    assert command_line([*words, "older.pem"]) == 0
    assert "203.0.113.5:77 is a member for 30 days" in capsys.readouterr().err
    metadata = SwarmUri.parse(uri).metadata
    octets = read_certificate(folder / "older.pem")
    where = MembershipVerifier(metadata.membership_key).check(octets, metadata.swarm_id, time.time())
    assert where == ("203.0.113.5", 77)
    assert (folder / "older.pem").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in folder.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["fetch", PLAIN, *FETCH, "--pex-certificate", "good.pem"], "names no issuer"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "expired.pem"], "the membership is over"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "elsewhere.pem"], "of another swarm"),
        (["play", "URI", *FETCH, "--pex-certificate", "stranger.pem"], "not of the swarm's issuer"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "film"], "no certificate in PEM"),
        (["fetch", f"{PLAIN}&x.ca=AAAA", *FETCH, "--pex"], "no public key"),
        (["seed", "film", "--pex-ca", "film"], "film"),
        (["seed", "film", "--pex-ca", "ca.pem", "--pex-certificate", "good.pem"], "of another swarm"),
        (["live", "film", "--key", "key", "--rate", "1M", "--pex-certificate", "good.pem"], "names no issuer"),
        (["pex", "key", "film"], "film"),
        (["pex", "issue", "other.pem", "URI", "203.0.113.5:1"], "names another issuer than other.pem"),
        (["pex", "issue", "ca.pem", PLAIN, "203.0.113.5:1"], "names no issuer"),
        (["pex", "issue", "ca.pem", "URI", "a.name:1"], "a.name is a name"),
        (["pex", "issue", "ca.pem", "URI", "203.0.113.5:0", "--unchecked"], "no peer has the port 0"),
        (["pex", "issue", "good.pem", "URI", "203.0.113.5:1"], "good.pem"),
        # Told before a peer is waited for, which could not answer.
        (["pex", "issue", "ca.pem", "URI", "203.0.113.5:0"], "no peer has the port 0"),
        (["pex", "issue", "ca.pem", "URI", "[fe80::1%eth0]:1"], "one machine's interface"),
        (["pex", "key", "x" * 5000], "File name too long"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else value[0],
)
def test_a_mistake_is_one_line(mistakes, monkeypatch, capsys, words, reason):
    folder, uri = mistakes
    monkeypatch.chdir(folder)
    status = command_line([uri if word == "URI" else word for word in words])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert reason in err
    assert err.splitlines()[-1].startswith("ietf-p2p: ")


def test_a_source_that_does_not_know_its_address_says_that_it_has_no_certificate(cli, film, tmp_path):
    make_issuer(tmp_path / "ca.pem")
    source = cli.start("seed", film, "--pex-ca", "ca.pem", "--listen", "0.0.0.0:0", "--json")
    wait_for(lambda: "no certificate of our own" in cli.stderr_of(source))
    assert cli.stop(source, signal.SIGINT) == 130
