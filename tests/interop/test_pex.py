"""Peer exchange on real sockets, in live swarms of players and gateways.

Everything is on loopback, whose addresses peers tell each other there, and nobody elsewhere (RFC 7574 section 8.13).
"""

import asyncio
import contextlib
import json
import os
import signal
import time

import attrs
from pex_swarms import ADDRESSES, ANY, LOCAL, at, run, stats_of, until, wait_for

from interop import peer as peer_module
from interop.live import LivePeer
from ppsp import ContentIntegrityProtection, SwarmMetadata, SwarmUri
from ppsp.events import PeerConnected, PeerFound
from ppsp.livekeys import LiveSigner
from ppsp.membership import MembershipIssuer
from ppsp.pex import PeerExchange

KEY = LiveSigner.generate()
LIVE = SwarmUri(SwarmMetadata(KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE))


def size(path):
    return path.stat().st_size if path.exists() else 0


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
