"""interop._tally: who gave how much, over all the channels that an address has had."""

from interop._tally import Tally
from ppsp.stats import PeerStats, SwarmStats

_SOURCE, _PEER = ("10.0.0.1", 1), ("10.0.0.2", 2)


def _peer(address: object, received: int, sent: int = 0, offered: int = 10) -> PeerStats:
    return PeerStats(
        address=address,  # type: ignore[arg-type]
        initiated=True,
        chunks_offered=offered,
        chunks_received=0,
        octets_received=received,
        chunks_refused=0,
        chunks_unverifiable=0,
        chunks_outstanding=0,
        chunks_sent=0,
        octets_sent=sent,
        chunks_lost=0,
        download_rate=0.0,
        srtt=None,
        cwnd=0,
    )


def _stats(*peers: PeerStats, chunk_count: int | None = 10) -> SwarmStats:
    return SwarmStats(bytes(32), chunk_count, 0, None, peers)


def test_what_a_peer_gave_stays_when_its_channel_is_gone() -> None:
    tally = Tally()
    tally.look(_stats(_peer(_PEER, 100, 7)), 0.0)
    tally.look(_stats(_peer(_PEER, 300, 9)), 1.0)
    tally.look(_stats(), 2.0)
    assert (tally.received, tally.sent, tally.connected) == (300, 9, 0)


def test_what_a_peer_gave_between_the_last_look_and_its_end_counts() -> None:
    tally = Tally()
    tally.look(_stats(_peer(_PEER, 100)), 0.0)
    tally.part(_peer(_PEER, 120, 5))
    tally.look(_stats(_peer(_PEER, 130)), 1.0)
    assert (tally.received, tally.sent) == (250, 5)


def test_a_new_channel_to_the_same_address_adds_up() -> None:
    tally = Tally()
    tally.look(_stats(_peer(_PEER, 300)), 0.0)
    tally.look(_stats(_peer(_PEER, 50)), 1.0)
    tally.look(_stats(_peer(_PEER, 70)), 2.0)
    assert tally.exchanges[_PEER].received == 370


def test_a_source_is_who_had_everything_when_we_met() -> None:
    tally = Tally()
    tally.look(_stats(_peer(_SOURCE, 0), _peer(_PEER, 0, offered=3)), 0.0)
    tally.look(_stats(_peer(_SOURCE, 0), _peer(_PEER, 0, offered=10)), 1.0)
    assert (tally.exchanges[_SOURCE].source, tally.exchanges[_PEER].source) == (True, False)


def test_who_is_a_source_is_open_until_the_number_of_chunks_is_known() -> None:
    tally = Tally()
    tally.look(_stats(_peer(_SOURCE, 0), chunk_count=None), 0.0)
    assert tally.exchanges[_SOURCE].source is None
    tally.look(_stats(_peer(_SOURCE, 0)), 1.0)
    assert tally.exchanges[_SOURCE].source is True


def test_rates_are_of_the_last_seconds() -> None:
    tally = Tally()
    assert tally.download_rate == 0
    for second in range(10):
        tally.look(
            _stats(_peer(_PEER, 1000 * second if second < 5 else 5000 * (second - 4), 10 * second)), float(second)
        )
    assert tally.download_rate == 5000
    assert tally.upload_rate == 10


def test_refused_chunks_are_counted_by_address() -> None:
    tally = Tally()
    tally.refuse(_PEER)
    tally.refuse(_PEER)
    assert (tally.refused, tally.exchanges[_PEER].refused) == (2, 2)


def test_ever_new_addresses_do_not_fill_the_memory() -> None:
    tally = Tally()
    for port in range(5000):
        tally.look(_stats(_peer(("10.0.0.3", port), 1)), 0.0)
        tally.refuse(("10.0.0.4", port))
    assert len(tally.exchanges) <= 1025
    assert tally.refused == 5000


def test_peers_beyond_those_that_are_told_apart_count_once_each() -> None:
    """A source that has served for long: all who come now are counted as one, and what each got is not mixed up."""
    tally = Tally()
    for port in range(1024):
        tally.refuse(("10.0.0.4", port))
    late = [_peer(("10.0.0.5", port), 100 * port, 1000 * port) for port in (1, 2, 3)]
    for look in range(5):
        tally.look(_stats(*late), float(look))
    assert (tally.received, tally.sent) == (600, 6000)
    for peer in late:
        tally.part(peer)
    tally.look(_stats(_peer(("10.0.0.5", 1), 50, 70)), 6.0)
    assert (tally.received, tally.sent) == (650, 6070)
