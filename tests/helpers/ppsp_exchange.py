"""What the tests of peer exchange share: nodes and peers at addresses, an issuer of membership certificates."""

import random

from ppsp.membership import MembershipIssuer, MembershipVerifier
from ppsp.messages import PexReq
from ppsp.pex import PeerExchange

ADDRESSES = PeerExchange(addresses=True)
ISSUER = MembershipIssuer.generate(random.Random(1).randbytes)
VERIFIER = MembershipVerifier(ISSUER.public_key)
EPOCH = 1_700_000_000.0


def node(lab, publication, exchange=ADDRESSES, *, complete=True):
    """An endpoint in the swarm that exchanges addresses in this way."""
    bench = lab.Bench(epoch=EPOCH)
    more = {"tree": publication.tree(), "content_size": len(publication.content)} if complete else {}
    store = lab.Store(publication.content if complete else b"")
    bench.endpoint.add_swarm(publication.metadata(), store=store, exchange=exchange, **more)
    return bench


def at(lab, bench, publication, host, port=6778, *, channel=1):
    """A peer at an address, with its handshake complete."""
    peer = lab.HandPeer(bench, publication, channel=channel)
    peer.address = (host, port) if ":" not in host else (host, port, 0, 0)
    peer.open()
    return peer


def certificate(host, port=6778, *, root, start=EPOCH + 1000.0, issuer=ISSUER, **more):
    return issuer.issue(root, host, port, start, **more)


def having_asked(lab, publication, host="198.51.100.1", exchange=ADDRESSES):
    """A fetcher at 10.0.0.9 that has asked one peer, at `host`, for others; and that peer."""
    bench = node(lab, publication, exchange, complete=False)
    peer = at(lab, bench, publication, host)
    assert peer.take(PexReq) == [PexReq()]
    bench.events()
    return bench, peer
