"""`ppsp._timers`: one deadline out, however many timers inside."""

import random

from ppsp._timers import TimerHeap


class Item:
    """Something with a deadline that the test moves."""

    def __init__(self, due=None):
        self.armed = None
        self.due = due

    def deadline(self):
        """The present deadline."""
        return self.due


def armed(heap, *deadlines):
    items = [Item(due) for due in deadlines]
    for item in items:
        heap.arm(item)
    return items


def test_an_empty_heap_has_no_deadline():
    heap = TimerHeap()
    assert heap.next() is None
    assert heap.due(1e9) == []


def test_an_item_without_a_deadline_is_not_held():
    heap = TimerHeap()
    armed(heap, None)
    assert heap.next() is None


def test_the_earliest_deadline_is_the_next():
    heap = TimerHeap()
    armed(heap, 5.0, 2.0, 9.0)
    assert heap.next() == 2.0


def test_items_come_out_when_they_are_due_and_once():
    heap = TimerHeap()
    first, second, third = armed(heap, 5.0, 2.0, 9.0)
    assert heap.due(1.9) == []
    assert heap.due(5.0) == [second, first]
    assert heap.due(5.0) == []
    assert heap.due(100.0) == [third]


def test_a_deadline_that_moved_later_is_not_due_yet():
    heap = TimerHeap()
    (item,) = armed(heap, 2.0)
    item.due = 6.0
    heap.arm(item)
    assert heap.due(2.0) == []
    assert heap.next() == 6.0
    assert heap.due(6.0) == [item]


def test_a_deadline_that_moved_earlier_counts_when_it_is_armed_again():
    heap = TimerHeap()
    (item,) = armed(heap, 6.0)
    item.due = 2.0
    heap.arm(item)
    assert heap.next() == 2.0
    assert heap.due(2.0) == [item]


def test_an_item_that_came_out_early_does_not_come_out_again_for_its_old_deadline():
    heap = TimerHeap()
    (item,) = armed(heap, 6.0)
    item.due = 2.0
    heap.arm(item)
    assert heap.due(2.0) == [item]
    item.due = 50.0
    heap.arm(item)
    assert heap.due(10.0) == []
    assert heap.due(50.0) == [item]


def test_an_item_that_lost_its_deadline_is_forgotten():
    heap = TimerHeap()
    (item,) = armed(heap, 2.0)
    item.due = None
    assert heap.due(3.0) == []
    assert heap.next() is None


def test_equal_deadlines_come_out_in_the_order_in_which_they_were_armed():
    """Determinism: never by the address of an object."""
    heap = TimerHeap()
    items = armed(heap, *[3.0] * 50)
    assert heap.due(3.0) == items


def test_the_next_deadline_is_never_later_than_that_of_any_item():
    """Against a model, over many random moves."""
    chance = random.Random(4)
    heap = TimerHeap()
    items = armed(heap, *[chance.uniform(0, 10) for _ in range(20)])
    now = 0.0
    fired = {}
    for _ in range(3000):
        item = chance.choice(items)
        item.due = chance.choice([None, now + chance.uniform(0, 5)])
        heap.arm(item)
        now += chance.uniform(0, 0.2)
        expected = {item for item in items if item.due is not None and item.due <= now}
        ready = heap.due(now)
        assert set(ready) == expected
        assert len(ready) == len(expected)
        for item in ready:
            fired[item] = now
            item.due = now + 1.0
            heap.arm(item)
        due = [item.due for item in items if item.due is not None]
        assert heap.next() is None or not due or heap.next() <= min(due)
    assert len(fired) == 20


def test_a_busy_item_does_not_fill_the_heap():
    """A deadline that moves later all the time costs nothing."""
    heap = TimerHeap()
    (item,) = armed(heap, 1.0)
    for step in range(10_000):
        item.due = 1.0 + step
        heap.arm(item)
    assert len(heap._heap) == 1


def test_stale_entries_do_not_pile_up():
    """A channel that is idle and busy in turn: a far deadline, a near one, the near one fires, a far one again."""
    heap = TimerHeap()
    item = Item()
    now = 0.0
    for _ in range(5000):
        item.due = now + 55.0
        heap.arm(item)
        item.due = now + 0.02
        heap.arm(item)
        now += 0.02
        assert heap.due(now) == [item]
    assert len(heap._heap) < 500
