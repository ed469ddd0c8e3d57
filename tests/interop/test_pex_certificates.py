"""Membership certificates on real sockets, of the command line and of OpenSSL.

Everything is on loopback, whose addresses peers tell each other there, and nobody elsewhere (RFC 7574 section 8.13).
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import time
from types import SimpleNamespace

import attrs
import pytest
from aioice import stun
from pex_swarms import ADDRESSES, ANY, LOCAL, at, openssl, run, stats_of, until, wait_for

from interop import _nat_traversal, _whole_files
from interop.cli import _pex
from interop.cli._pex import Pex
from interop.live import LivePeer
from interop.membership_keys import make_issuer, read_authority, read_certificate
from interop.nat import NatSettings
from interop.peer import SwarmPeer
from ppsp import MerkleHashFunction, MerkleTree, SwarmMetadata, SwarmUri, hash_chunks
from ppsp.events import PeerConnected, PeerFound
from ppsp.membership import MembershipVerifier
from ppsp.pex import PeerExchange
from ppsp.store import MemoryStore


def found_by_exchange(stats):
    """The statistics, once another peer has named one that is connected."""
    return stats if any(peer["by_exchange"] for peer in stats["peers"]) else None


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(os.urandom(400_000))
    return path


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


def test_a_source_that_does_not_know_its_address_says_that_it_has_no_certificate(cli, film, tmp_path):
    make_issuer(tmp_path / "ca.pem")
    source = cli.start("seed", film, "--pex-ca", "ca.pem", "--listen", "0.0.0.0:0", "--json")
    wait_for(lambda: "no certificate of our own" in cli.stderr_of(source))
    assert cli.stop(source, signal.SIGINT) == 130
