"""Whom to serve (RFC 7574 section 3.9): the default of `ppsp.ports.UploadPolicy`."""

from collections.abc import Sequence

from ppsp.ports import PeerStanding

# Sixteen peers share an uplink well: each still has several chunks a round trip, and most swarms never choke at all.
DEFAULT_SLOTS = 16
# Of eight slots, one goes round among those who gave nothing: newcomers have nothing to give.
_OPTIMISTIC_SHARE = 8
# Who is served in turns keeps its slot for so long: enough for a few hundred chunks, which it then can trade.
_TURN_SECONDS = 15.0


class TitForTat:
    """Serves those who give most, and all others in turns; a peer with everything serves everybody in turns.

    Nobody starves: of the others, whoever has waited longest is next. A slot that no giver takes goes to them as well.
    """

    def __init__(self, slots: int = DEFAULT_SLOTS) -> None:
        """`slots` peers are served at once. ValueError when there are none."""
        if slots < 1:
            raise ValueError(f"with {slots} slots nobody would be served")
        self.slots = slots

    def serve(self, peers: Sequence[PeerStanding], *, complete: bool, now: float) -> list[int]:
        """As `ppsp.ports.UploadPolicy.serve`."""
        givers: list[int] = []
        if not complete:
            by_rate = sorted(range(len(peers)), key=lambda at: -peers[at].received_rate)
            best = by_rate[: self.slots - max(self.slots // _OPTIMISTIC_SHARE, 1)]
            givers = [at for at in best if peers[at].received_rate > 0]
        others = [at for at in range(len(peers)) if at not in givers]

        def turn(at: int) -> tuple[int, float]:
            peer = peers[at]
            if not peer.served:
                return 1, peer.since
            return (0 if now - peer.since < _TURN_SECONDS else 2), peer.since

        return givers + sorted(others, key=turn)[: self.slots - len(givers)]
