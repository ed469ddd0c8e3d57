"""Publications: when something is stored anew, retried, and removed."""

import pytest
from reload_dht import failed

from reload.errors import EncodeError, StateError
from reload.operations import Failed, Plan, Store, Stored
from reload.usages.publication import Publication

STORE = Store(bytes(16), ())
STORED = Stored({}, {})


class Page:
    """Something that takes two Stores to publish."""

    lifetime = 1000

    def __init__(self) -> None:
        self.has: list[str] = []

    def store(self) -> Plan[bool]:
        for half in ("left", "right"):
            if isinstance((yield STORE), Failed):
                return False
            self.has.append(half)
        return True

    def remove(self) -> Plan[bool]:
        self.has.clear()
        return isinstance((yield STORE), Stored)


def finish(plan: Plan[bool] | None, *, succeed: bool = True) -> bool:
    assert plan is not None
    try:
        next(plan)
        while True:
            plan.send(STORED if succeed else failed())
    except StopIteration as done:
        return bool(done.value)


def test_nothing_is_due_before_the_start_and_all_at_once_from_then_on() -> None:
    publication = Publication(Page())
    assert publication.get_timer() is None
    assert publication.handle_timer(5.0) is None
    publication.start(5.0)
    assert publication.get_timer() == 5.0
    assert publication.handle_timer(4.9) is None
    assert finish(publication.handle_timer(5.0))


def test_it_is_stored_anew_when_90_percent_of_the_lifetime_are_over() -> None:
    publication = Publication(Page())
    publication.start(0.0)
    now = 0.0
    for _ in range(3):
        assert finish(publication.handle_timer(now))
        assert publication.get_timer() == pytest.approx(now + 900)
        now += 900


def test_what_fails_is_tried_again_after_30_seconds_then_60_and_never_later_than_a_refresh() -> None:
    publication = Publication(Page())
    publication.start(0.0)
    now, waits = 0.0, []
    for _ in range(8):
        assert not finish(publication.handle_timer(now), succeed=False)
        due = publication.get_timer()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    for _ in range(1200):  # A node that is offline for days; 2.0 ** 1024 is no float.
        assert not finish(publication.handle_timer(now), succeed=False)
        now += 900
    assert finish(publication.handle_timer(now))
    assert publication.get_timer() == pytest.approx(now + 900)
    assert not finish(publication.handle_timer(now + 900), succeed=False)
    assert publication.get_timer() == pytest.approx(now + 930)


def test_a_plan_that_nobody_finishes_does_not_keep_the_next_one_from_being_due() -> None:
    publication = Publication(Page())
    publication.start(0.0)
    lost = publication.handle_timer(0.0)
    assert lost is not None
    next(lost)
    assert finish(publication.handle_timer(900.0))


def test_an_earlier_plan_does_nothing_more_once_another_one_has_begun() -> None:
    page = Page()
    publication = Publication(page)
    publication.start(0.0)
    slow = publication.handle_timer(0.0)
    assert slow is not None
    next(slow)
    publication.start(10.0)
    assert finish(publication.handle_timer(10.0))
    with pytest.raises(StopIteration) as ended:
        slow.send(STORED)
    assert ended.value.value is False
    assert publication.get_timer() == pytest.approx(910)


def test_after_a_stop_nothing_is_due_and_what_is_under_way_stores_no_more() -> None:
    page = Page()
    publication = Publication(page)
    publication.start(0.0)
    slow = publication.handle_timer(0.0)
    assert slow is not None
    next(slow)
    assert finish(publication.stop())
    with pytest.raises(StopIteration):
        slow.send(STORED)
    assert publication.get_timer() is None
    assert publication.handle_timer(1e9) is None


def test_a_failure_after_a_stop_makes_nothing_due() -> None:
    publication = Publication(Page())
    publication.start(0.0)
    slow = publication.handle_timer(0.0)
    assert slow is not None
    next(slow)
    removal = publication.stop()
    with pytest.raises(StopIteration):
        slow.send(failed())
    assert publication.get_timer() is None
    assert not finish(removal, succeed=False)


@pytest.mark.parametrize("error", [StateError("no such Kind"), EncodeError("too large")])
def test_what_cannot_be_asked_for_is_a_failure_like_another_and_said(error: StateError | EncodeError) -> None:
    publication = Publication(Page())
    publication.start(0.0)
    plan = publication.handle_timer(0.0)
    assert plan is not None
    next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.throw(error)
    assert ended.value.value is False
    assert publication.error is error
    assert publication.get_timer() == 30.0
    assert finish(publication.handle_timer(30.0))
    assert publication.error is None
    removal = publication.stop()
    next(removal)
    with pytest.raises(StopIteration):
        removal.throw(error)
    assert publication.error is error


class Careful:
    """Something that goes on where one step could not be."""

    lifetime = 1000

    def store(self) -> Plan[bool]:
        try:
            yield STORE
        except StateError:
            return isinstance((yield STORE), Stored)
        return False

    def remove(self) -> Plan[bool]:
        return isinstance((yield STORE), Stored)


def test_what_is_published_learns_of_an_error_where_it_has_asked() -> None:
    publication = Publication(Careful())
    publication.start(0.0)
    plan = publication.handle_timer(0.0)
    assert plan is not None
    next(plan)
    assert plan.throw(StateError("no")) == STORE
    with pytest.raises(StopIteration) as ended:
        plan.send(STORED)
    assert ended.value.value is True
    assert publication.error is None
