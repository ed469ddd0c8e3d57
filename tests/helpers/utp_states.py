"""What the tests of hostile uTP peers share: states, entered with packets made by hand, and the limits that hold."""

from hand_utp import STATE, Hand

from ledbat.utp import UtpEndpoint
from ledbat.utp.limits import MAX_REORDERED


def connected(peer: Hand) -> None:
    peer.answer_connect()
    peer.hear()


def zero_window(peer: Hand) -> None:
    connected(peer)
    peer.say(STATE, wnd_size=0)
    peer.endpoint.send(peer.number, bytes(5000))
    peer.hear()


def held(one: UtpEndpoint) -> None:
    """The limits of every connection hold."""
    for connection in one._connections.values():
        queue, recovery = connection.inbound.queue, connection.outbound.recovery
        assert 0 <= queue.readable <= queue.buffered <= queue.capacity
        assert queue.reordered <= MAX_REORDERED
        assert recovery.pipe >= 0
        assert recovery.outstanding >= 0
        assert len(recovery.sent) == recovery.count
        unsacked = [
            entry[0] for i in range(recovery.count) if not recovery.sacked >> i & 1
            for entry in (recovery.sent[(recovery.una + i) & 0xFFFF],)
        ]  # fmt: skip
        assert recovery.outstanding == sum(unsacked)
