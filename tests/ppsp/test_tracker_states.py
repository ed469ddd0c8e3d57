"""The tables of PPSTP: figure 4, figure 5 and table 6 of RFC 7846."""

import itertools

import pytest

from ppsp.tracker import Action, PeerMode, PeerState, SwarmAction, TrackerState
from ppsp.tracker.states import (
    PEER_TABLE,
    TRACKER_TABLE,
    PeerInput,
    Timer,
    TrackerInput,
    judge,
)

START, TRACKING, TERMINATE = PeerState.START, PeerState.TRACKING, PeerState.TERMINATE
JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH

# Table 6 as printed: swarm number, peer_mode, actions, initial state, final state, validity.
TABLE_6 = [
    ("1", LEECH, [JOIN], START, TRACKING, True),
    ("1", LEECH, [LEAVE], START, TERMINATE, False),
    ("1", LEECH, [LEAVE], TRACKING, TERMINATE, True),
    ("1", LEECH, [JOIN, LEAVE], START, TERMINATE, False),
    ("1", LEECH, [JOIN, LEAVE], TRACKING, TRACKING, True),
    ("N", SEEDER, [JOIN], START, TRACKING, True),
    ("N", SEEDER, [JOIN], TRACKING, TERMINATE, False),
    ("N", SEEDER, [LEAVE], TRACKING, TERMINATE, True),
]


def _actions(mode: PeerMode, *kinds: Action) -> list[SwarmAction]:
    return [SwarmAction(f"swarm {number}", kind, mode) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize("row", TABLE_6, ids=lambda row: f"{row[3].value}-{row[0]}-{row[1]}-{'+'.join(row[2])}")
def test_a_strict_tracker_follows_every_row_of_table_6(row):
    """RFC 7846 section 4.1.1, table 6"""
    number, mode, kinds, initial, final, valid = row
    for repeat in (1,) if number == "1" else (1, 2, 7):
        verdict = judge(initial, _actions(mode, *kinds * repeat), strict=True)
        assert (verdict.valid, verdict.final) == (valid, final)


@pytest.mark.parametrize("row", TABLE_6, ids=lambda row: f"{row[3].value}-{row[0]}-{row[1]}-{'+'.join(row[2])}")
def test_a_lenient_tracker_differs_from_table_6_in_the_one_row_that_section_2_2_contradicts(row):
    """RFC 7846 sections 2.2, 2.3.1 step 4: a registered peer's CONNECT notifies about more swarms"""
    _, mode, kinds, initial, final, valid = row
    verdict = judge(initial, _actions(mode, *kinds), strict=False)
    if (initial, mode, kinds) == (TRACKING, SEEDER, [JOIN]):
        assert (verdict.valid, verdict.final) == (True, TRACKING)
    else:
        assert (verdict.valid, verdict.final) == (valid, final)


@pytest.mark.parametrize(
    ("initial", "mode", "kinds"),
    [
        (START, LEECH, [JOIN, JOIN]),
        (TRACKING, LEECH, [JOIN]),
        (TRACKING, LEECH, [LEAVE, LEAVE]),
        (TRACKING, SEEDER, [JOIN, LEAVE]),
    ],
)
def test_what_table_6_does_not_list_is_refused_by_a_strict_tracker_only(initial, mode, kinds):
    actions = _actions(mode, *kinds)
    assert judge(initial, actions, strict=False).valid
    strict = judge(initial, actions, strict=True)
    assert (strict.valid, strict.final) == (False, TRACKING if initial is TRACKING else TERMINATE)


def test_two_modes_in_one_connect_are_for_a_lenient_tracker():
    actions = [SwarmAction("a", JOIN, LEECH), SwarmAction("b", JOIN, SEEDER)]
    assert judge(START, actions, strict=False).valid
    assert not judge(START, actions, strict=True).valid


@pytest.mark.parametrize("mode", PeerMode)
@pytest.mark.parametrize("others", [[], [JOIN], [LEAVE], [JOIN, JOIN]])
def test_nothing_can_be_left_from_start(mode, others):
    """RFC 7846 table 6 lists it for LEECH; a SEEDER has as little to leave"""
    for strict in (True, False):
        assert not judge(START, _actions(mode, LEAVE, *others), strict=strict).valid


@pytest.mark.parametrize(("first", "second"), list(itertools.product(Action, repeat=2)))
def test_a_swarm_named_twice_is_refused(first, second):
    actions = [SwarmAction("a", first, LEECH), SwarmAction("a", second, LEECH)]
    for state, strict in itertools.product((START, TRACKING), (True, False)):
        assert not judge(state, actions, strict=strict).valid


def test_the_tracker_machine_is_figure_4():
    """RFC 7846 section 2.3, figure 4"""
    edges = {(state, after) for state, row in TRACKER_TABLE.items() for after in row.values()}
    assert edges == {
        (TrackerState.INIT, TrackerState.STARTED),
        (TrackerState.STARTED, TrackerState.STARTED),
        (TrackerState.STARTED, TrackerState.TERMINATED),
        (TrackerState.TERMINATED, TrackerState.INIT),
    }
    assert TRACKER_TABLE[TrackerState.STARTED][TrackerInput.LAST_PEER_REMOVED] is TrackerState.TERMINATED


def test_the_peer_machine_is_figure_5():
    """RFC 7846 section 2.3, figure 5"""
    expected = {
        (START, PeerInput.CONNECT): (PeerState.PEER_REGISTERED, Timer.INIT),
        (PeerState.PEER_REGISTERED, PeerInput.ACTIONS_DONE): (TRACKING, Timer.TRACK),
        (PeerState.PEER_REGISTERED, PeerInput.ACTIONS_REFUSED): (TERMINATE, Timer.STOP),
        (TRACKING, PeerInput.ACTIONS_DONE): (TRACKING, Timer.TRACK),
        (TRACKING, PeerInput.ACTIONS_REFUSED): (TRACKING, Timer.KEEP),
        (TRACKING, PeerInput.FIND): (TRACKING, Timer.TRACK),
        (TRACKING, PeerInput.STAT_REPORT): (TRACKING, Timer.TRACK),
        (TRACKING, PeerInput.LEFT_LAST_SWARM): (TERMINATE, Timer.STOP),
        (TRACKING, PeerInput.TIMEOUT): (TERMINATE, Timer.STOP),
    }
    for (state, what), arrow in expected.items():
        transition = PEER_TABLE[state][what]
        assert (transition.state, transition.timer) == arrow


def test_terminate_is_the_end_and_every_state_before_it_can_get_there():
    """RFC 7846 section 2.3: the machine is destroyed"""
    assert PEER_TABLE[TERMINATE] == {}
    for state in (PeerState.PEER_REGISTERED, TRACKING):
        assert TERMINATE in {transition.state for transition in PEER_TABLE[state].values()}


def test_a_timer_runs_in_exactly_the_states_that_last():
    for state, row in PEER_TABLE.items():
        for transition in row.values():
            if transition.state is TERMINATE:
                assert transition.timer is Timer.STOP
            elif transition.state is not state:
                assert transition.timer in (Timer.INIT, Timer.TRACK)
