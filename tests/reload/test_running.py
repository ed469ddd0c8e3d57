"""Operations and plans: steps become requests, and results go back into the plan."""

from collections.abc import Generator

import pytest
from reload_bystander import ME, at, bench, me, where
from reload_configurations import PRIVATE
from reload_identities import node_id
from reload_overlay import mesh

from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageExtension
from reload.errors import EncodeError, StateError
from reload.exchange import Response
from reload.kinds import AccessControl, Kind
from reload.methods import PingAns, PingReq, ProbeInformationType
from reload.naming import resource_id
from reload.operations import (
    Failed,
    Fetch,
    Fetched,
    Find,
    Found,
    Metadata,
    NewValue,
    Operation,
    Result,
    Send,
    Stat,
    Store,
    Stored,
    Wanted,
)
from reload.storage_messages import ArrayEntry, DataModel, DataValue, SingleSpecifier

_USER = b"user1@example.org"
_WHERE = resource_id(_USER)
_WANTED = (Wanted(PRIVATE.id, SingleSpecifier()),)
_FOUR = (1, 1 << 126, 2 << 126, 3 << 126)


def _store(octets: bytes) -> Store:
    return Store(_WHERE, (NewValue(PRIVATE.id, DataValue(True, octets), 100),))


def test_every_operation_has_its_result() -> None:
    overlay, (one, *_) = mesh(*_FOUR)
    expected = {
        _store(b"hello"): Stored,
        Fetch(_WHERE, _WANTED): Fetched,
        Stat(_WHERE, _WANTED): Metadata,
        Find(_WHERE, (PRIVATE.id,)): Found,
        Send((at(1),), MessageCode.PING_REQ, PingReq()): Response,
    }
    for operation, kind in expected.items():
        handle = one.node.perform(operation, overlay.now)
        overlay.settle()
        result = one.result(handle)
        assert isinstance(result, kind), result


def test_a_plan_is_sent_the_results_of_its_steps_and_tells_what_it_returns() -> None:
    overlay, (one, *_) = mesh(*_FOUR)

    def plan() -> Generator[Operation, Result, bytes]:
        stored = yield _store(b"hello")
        assert isinstance(stored, Stored)
        fetched = yield Fetch(_WHERE, _WANTED)
        assert isinstance(fetched, Fetched)
        value = fetched.kinds[PRIVATE.id].values[0].data.value
        assert isinstance(value, DataValue)
        return value.value

    handle = one.node.run(plan(), overlay.now)
    overlay.settle()
    assert one.result(handle) == b"hello"


def test_a_plan_without_steps_ends_at_once() -> None:
    made, _ = bench()

    def plan() -> Generator[Operation, Result, str]:
        return "done"
        yield

    made.node.run(plan(), made.now)
    assert made.results() == ["done"]


def test_plans_run_side_by_side() -> None:
    overlay, (one, *_) = mesh(*_FOUR)

    def plan(number: int) -> Generator[Operation, Result, int]:
        for _ in range(3):
            result = yield Send((at(_FOUR[number]),), MessageCode.PING_REQ, PingReq())
            assert isinstance(result, Response)
        return number

    handles = [one.node.run(plan(number), overlay.now) for number in range(4)]
    assert len(set(handles)) == 4
    overlay.settle()
    assert [one.result(handle) for handle in handles] == [0, 1, 2, 3]


def test_a_step_that_cannot_be_is_an_error_in_the_plan() -> None:
    made, _ = bench()

    def plan() -> Generator[Operation, Result, list[str]]:
        seen = []
        for bad in (
            Fetch(_WHERE, (Wanted(0xF0000999, SingleSpecifier()),)),
            Send((me(),), MessageCode.PING_REQ, PingReq(bytes(70_000))),
        ):
            try:
                yield bad
            except (StateError, EncodeError) as exc:
                seen.append(type(exc).__name__)
        return seen

    made.node.run(plan(), made.now)
    assert made.results() == [["StateError", "EncodeError"]]


def test_the_mistakes_of_a_plan_are_raised_where_the_node_was_called() -> None:
    made, _ = bench()

    def plan() -> Generator[Operation, Result, None]:
        yield Send((me(),), MessageCode.PING_REQ, PingReq())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.node.run(plan(), made.now)


@pytest.mark.parametrize(
    "operation",
    [
        Store(_WHERE, ()),
        Fetch(_WHERE, ()),
        Stat(_WHERE, (Wanted(0xF0000999, SingleSpecifier()),)),
        Find(_WHERE, ()),
    ],
)
def test_an_operation_that_makes_no_sense_raises_and_sends_nothing(operation: Operation) -> None:
    made, (one,) = bench(10)
    with pytest.raises(StateError):
        made.node.perform(operation, made.now)
    assert one.received_octets() == []


def test_an_error_of_the_answerer_is_the_result() -> None:
    made, (other,) = bench(200)
    for operation in (Fetch(node_id(150), _WANTED), Stat(node_id(150), _WANTED), Find(node_id(150), (PRIVATE.id,))):
        made.node.perform(operation, made.now)
        (request,) = other.received()
        error = ErrorResponse(ErrorCode.NOT_FOUND, b"")
        other.send(MessageCode.ERROR, error, me(), transaction=request.header.transaction_id)
        (failed,) = made.results()
        assert isinstance(failed, Failed)
        assert failed.error == error


def test_an_answer_that_is_none_fails() -> None:
    made, (other,) = bench(200)
    made.node.perform(Fetch(node_id(150), _WANTED), made.now)
    (request,) = other.received()
    other.send(MessageCode.FETCH_ANS, bytes(4), me(), transaction=request.header.transaction_id)
    (failed,) = made.results()
    assert isinstance(failed, Failed)
    assert failed.error is None


def test_what_the_policy_of_a_kind_forbids_is_forbidden() -> None:
    overlay, (one, *_) = mesh(*_FOUR)
    where = resource_id(b"somebody else")
    handle = one.node.perform(Store(where, (NewValue(PRIVATE.id, DataValue(True, b"x"), 1),)), overlay.now)
    overlay.settle()
    failed = one.result(handle)
    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert failed.error.error_code == ErrorCode.FORBIDDEN


def test_a_node_stores_at_itself() -> None:
    made, _ = bench()
    made.topology.peers = [node_id(ME)]
    where = resource_id(node_id(ME))
    kind = next(kind for kind in made.node.in_force.kinds.values() if kind.access_control is AccessControl.NODE_MATCH)
    assert isinstance(kind, Kind)
    assert kind.data_model is DataModel.ARRAY
    value = ArrayEntry(0, DataValue(True, b"certificate"))
    made.node.perform(Store(where, (NewValue(kind.id, value, 10),)), made.now)
    (stored,) = made.results()
    assert isinstance(stored, Stored)
    assert len(made.node.storage) == 1
    assert made.sent == {}


# Verbs that are operations.


def test_a_ping_may_have_padding_and_extensions() -> None:
    made, (one,) = bench(10)
    extension = MessageExtension(9, False, b"x")
    made.node.ping([at(10)], made.now, padding=b"pad", extensions=(extension,))
    (request,) = one.received()
    assert request.contents.extensions == (extension,)
    one.send(MessageCode.PING_ANS, PingAns(1, 2), me(), transaction=request.header.transaction_id)
    (response,) = made.results()
    assert response.body == PingAns(1, 2)


def test_a_probe_tells_about_another_peer() -> None:
    overlay, (one, *_) = mesh(*_FOUR)
    handle = one.node.probe([at(_FOUR[2])], [ProbeInformationType.RESPONSIBLE_SET, 77], overlay.now)
    overlay.settle()
    response = one.result(handle)
    assert isinstance(response, Response)
    assert [(each.type, each.value) for each in response.body.probe_info] == [(1, 250_000_000)]


def test_a_route_query_tells_the_next_hop() -> None:
    overlay, (one, *_) = mesh(*_FOUR)
    handle = one.node.route_query([at(_FOUR[2])], where(_FOUR[1]), overlay.now)
    overlay.settle()
    response = one.result(handle)
    assert isinstance(response, Response)
    assert response.body.next_peer == node_id(_FOUR[1])
