"""A node that joins a CHORD-RELOAD overlay, alone: step by step, and in each state of its join."""

from __future__ import annotations

from reload_chord import Attached, Lone, node

from reload.chord_join import LEARNING_PATIENCE, JoinState
from reload.contents import MessageCode
from reload.destinations import NodeDestination, ResourceDestination

OWN, BOOTSTRAP, ADMITTING = 1000, 9000, 2000


class Join(Lone):
    """A node that joins by 9000 between 500 and 2000, step by step."""

    def __init__(self) -> None:
        super().__init__(OWN)
        self.link(BOOTSTRAP)
        self.chord.join(node(BOOTSTRAP), self.now)

    @property
    def state(self) -> JoinState:
        return self.chord._joining.state

    def last_attach(self) -> Attached:
        """That to the Admitting Peer."""
        behind = ResourceDestination(node(OWN + 1))
        found = [each for each in self.overlay.attaches if each.destination_list[-1] == behind]
        return found[-1] if found else Attached(4712, (), False)

    def attach_named(self, number: int) -> None:
        """The last Attach leads to a neighbor, which sends its Update."""
        last = self.overlay.attaches[-1]
        assert last.destination_list[-1] == NodeDestination(node(number))
        self.attached(last, number)
        self.update(number)

    def take_named(self) -> list[tuple[Attached, int]]:
        """The Attaches to Node-IDs since, and their positions."""
        taken = [(each, each.destination_list[-1]) for each in self.overlay.take_attaches()]
        return [
            (each, int.from_bytes(last.node_id, "big")) for each, last in taken if isinstance(last, NodeDestination)
        ]

    def attach(self) -> Join:
        """The Admitting Peer is attached."""
        self.attached(self.last_attach(), ADMITTING)
        return self

    def learn(self) -> Join:
        """It has sent its Update."""
        self.attach().update(ADMITTING, [500, 400], [3000, 4000], [])
        return self

    def connect(self) -> Join:
        """All neighbors are attached, and have sent theirs."""
        self.learn()
        for each, number in self.take_named():
            self.attached(each, number)
            self.update(number)
        return self

    def wait_for_update(self) -> Join:
        """The Join is answered."""
        self.connect()
        self.answer(self.overlay.take(MessageCode.JOIN_REQ)[0], ADMITTING)
        return self

    def place(self) -> Join:
        """The Update that names us has come; it names one who is not attached yet."""
        self.wait_for_update().update(ADMITTING, [OWN, 600, 500], [3000, 4000, 500])
        return self


def state(of: JoinState) -> Join:
    """A join in this state."""
    join = Join()
    match of:
        case JoinState.IDLE:
            join.place()
            join.attach_named(600)
        case JoinState.SEEKING:
            join.place()
            join.attach_named(600)
            join.chord._joining.rejoin(None, join.now)
        case JoinState.LEARNING:
            join.attach()
        case JoinState.SURVEYING:
            join.attach().wait(2 * LEARNING_PATIENCE)
            join.overlay.take(MessageCode.ROUTE_QUERY_REQ)
        case JoinState.CONNECTING:
            join.learn()
        case JoinState.JOINING:
            join.connect()
        case JoinState.WAITING:
            join.wait_for_update()
        case JoinState.SETTLING:
            join.place()
        case JoinState.PAUSED:
            join.attached(join.last_attach(), None)
        case _:
            pass
    assert join.state is of
    return join
