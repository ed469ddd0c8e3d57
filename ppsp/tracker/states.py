"""The state machines of RFC 7846 section 2.3 and the validity of CONNECT (table 6), as tables."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from attrs import frozen

from ppsp.tracker.messages import Action, PeerMode, SwarmAction


class TrackerState(Enum):
    """Figure 4. TERMINATED is transient: the tracker is back in INIT at once."""

    INIT = "INIT"
    STARTED = "STARTED"
    TERMINATED = "TERMINATED"


class TrackerInput(Enum):
    """What moves the tracker."""

    PEER_REGISTERED = auto()
    PEER_REMOVED = auto()
    LAST_PEER_REMOVED = auto()
    RESTART = auto()


TRACKER_TABLE: Mapping[TrackerState, Mapping[TrackerInput, TrackerState]] = {
    TrackerState.INIT: {TrackerInput.PEER_REGISTERED: TrackerState.STARTED},
    TrackerState.STARTED: {
        TrackerInput.PEER_REGISTERED: TrackerState.STARTED,
        TrackerInput.PEER_REMOVED: TrackerState.STARTED,
        TrackerInput.LAST_PEER_REMOVED: TrackerState.TERMINATED,
    },
    TrackerState.TERMINATED: {TrackerInput.RESTART: TrackerState.INIT},
}


class PeerState(Enum):
    """Figure 5. START stands for a peer ID that has no registration; TERMINATE destroys the registration at once."""

    START = "START"
    PEER_REGISTERED = "PEER REGISTERED"
    TRACKING = "TRACKING"
    TERMINATE = "TERMINATE"


class PeerInput(Enum):
    """What moves a registration. A FIND or STAT_REPORT in error moves nothing (section 2.3.2, C)."""

    CONNECT = auto()
    """A CONNECT whose peer ID is valid; its swarm actions are judged next."""
    ACTIONS_DONE = auto()
    """Swarm actions were carried out, and the peer is in at least one swarm."""
    LEFT_LAST_SWARM = auto()
    ACTIONS_REFUSED = auto()
    """A CONNECT with nothing but invalid swarm actions (condition A)."""
    TERMINATING_ACTIONS = auto()
    """Swarm actions that table 6 calls invalid with TERMINATE as the final state."""
    FIND = auto()
    STAT_REPORT = auto()
    TIMEOUT = auto()


class Timer(Enum):
    """What becomes of a registration's one running timer."""

    KEEP = auto()
    INIT = auto()
    """Start the init timer."""
    TRACK = auto()
    """Start the track timer anew."""
    STOP = auto()


@frozen
class Transition:
    """One arrow of figure 5."""

    state: PeerState
    timer: Timer


_TERMINATE = Transition(PeerState.TERMINATE, Timer.STOP)
_TRACK = Transition(PeerState.TRACKING, Timer.TRACK)

PEER_TABLE: Mapping[PeerState, Mapping[PeerInput, Transition]] = {
    PeerState.START: {
        PeerInput.CONNECT: Transition(PeerState.PEER_REGISTERED, Timer.INIT),
    },
    PeerState.PEER_REGISTERED: {
        # A CONNECT that was cut off by an internal error left the registration here: the next one takes it up again.
        PeerInput.CONNECT: Transition(PeerState.PEER_REGISTERED, Timer.KEEP),
        PeerInput.ACTIONS_DONE: _TRACK,
        PeerInput.ACTIONS_REFUSED: _TERMINATE,
        PeerInput.TERMINATING_ACTIONS: _TERMINATE,
        # The RFC starts the init timer and never says what its end does: as that of the track timer.
        PeerInput.TIMEOUT: _TERMINATE,
    },
    PeerState.TRACKING: {
        PeerInput.CONNECT: Transition(PeerState.TRACKING, Timer.KEEP),
        PeerInput.ACTIONS_DONE: _TRACK,
        PeerInput.LEFT_LAST_SWARM: _TERMINATE,
        PeerInput.ACTIONS_REFUSED: Transition(PeerState.TRACKING, Timer.KEEP),
        PeerInput.TERMINATING_ACTIONS: _TERMINATE,
        PeerInput.FIND: _TRACK,
        PeerInput.STAT_REPORT: _TRACK,
        PeerInput.TIMEOUT: _TERMINATE,
    },
    PeerState.TERMINATE: {},
}


class Many(Enum):
    """The swarm number of table 6."""

    NONE = "none"
    ONE = "1"
    SEVERAL = "several"


@frozen
class Shape:
    """What a CONNECT asks for, as table 6 counts it: the one mode of its actions, and how many join and leave."""

    peer_mode: PeerMode
    join: Many
    leave: Many


@frozen
class Verdict:
    """Whether a CONNECT is valid, and where it leads; a valid LEAVE leads to TERMINATE with the last swarm only."""

    valid: bool
    final: PeerState


_VALID = Verdict(True, PeerState.TRACKING)
_VALID_LEAVE = Verdict(True, PeerState.TERMINATE)
_INVALID = Verdict(False, PeerState.TERMINATE)
_ERROR = Verdict(False, PeerState.TRACKING)

_SEEDER, _LEECH = PeerMode.SEEDER, PeerMode.LEECH
_NONE, _ONE, _SEVERAL = Many.NONE, Many.ONE, Many.SEVERAL

TABLE_6: Mapping[tuple[PeerState, Shape], Verdict] = {
    (PeerState.START, Shape(_LEECH, _ONE, _NONE)): _VALID,
    (PeerState.START, Shape(_LEECH, _NONE, _ONE)): _INVALID,
    (PeerState.TRACKING, Shape(_LEECH, _NONE, _ONE)): _VALID_LEAVE,
    (PeerState.START, Shape(_LEECH, _ONE, _ONE)): _INVALID,
    (PeerState.TRACKING, Shape(_LEECH, _ONE, _ONE)): _VALID,
    # N is one or several.
    (PeerState.START, Shape(_SEEDER, _ONE, _NONE)): _VALID,
    (PeerState.START, Shape(_SEEDER, _SEVERAL, _NONE)): _VALID,
    (PeerState.TRACKING, Shape(_SEEDER, _ONE, _NONE)): _INVALID,
    (PeerState.TRACKING, Shape(_SEEDER, _SEVERAL, _NONE)): _INVALID,
    (PeerState.TRACKING, Shape(_SEEDER, _NONE, _ONE)): _VALID_LEAVE,
    (PeerState.TRACKING, Shape(_SEEDER, _NONE, _SEVERAL)): _VALID_LEAVE,
}
"""Table 6, row by row."""

LENIENT: Mapping[tuple[PeerState, Shape], Verdict] = {
    # Sections 2.2 and 2.3.1 (step 4) let a registered peer join more swarms; and there is no other way for a LEECH
    # that has completed its content to become a SEEDER.
    (PeerState.TRACKING, Shape(_SEEDER, _ONE, _NONE)): _VALID,
    (PeerState.TRACKING, Shape(_SEEDER, _SEVERAL, _NONE)): _VALID,
}
"""Where sections 2.2 and 2.3.1 contradict table 6: what a tracker does that is not strict."""


def _many(count: int) -> Many:
    return Many.NONE if not count else Many.ONE if count == 1 else Many.SEVERAL


def shape(actions: Sequence[SwarmAction]) -> Shape | None:
    """How table 6 sees these actions; None where it does not, since they name both modes."""
    modes = {action.peer_mode for action in actions}
    if len(modes) != 1:
        return None
    joins = sum(action.action is Action.JOIN for action in actions)
    return Shape(modes.pop(), _many(joins), _many(len(actions) - joins))


def judge(state: PeerState, actions: Sequence[SwarmAction], *, strict: bool) -> Verdict:
    """Whether a CONNECT with these actions is valid in `state` (START or TRACKING), and where it leads.

    What table 6 does not list is refused when `strict`. Otherwise it is valid, but for a LEAVE from START: there is
    nothing to leave. The table refuses a swarm named twice nowhere, yet nobody can tell what it would mean.
    """
    nothing_changes = _ERROR if state is PeerState.TRACKING else _INVALID
    if len({action.swarm_id for action in actions}) != len(actions):
        return nothing_changes
    seen = shape(actions)
    if seen is not None:
        verdict = TABLE_6.get((state, seen))
        if not strict:
            verdict = LENIENT.get((state, seen), verdict)
        if verdict is not None:
            return verdict
    leaves = any(action.action is Action.LEAVE for action in actions)
    if strict or (leaves and state is PeerState.START):
        return nothing_changes
    return _VALID
