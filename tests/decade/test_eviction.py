"""What goes when storage is full, and how many octets of a trace are found there."""

import random
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from decade.eviction import MAX_COUNT, S3Fifo


def free(key):
    return False


def filled(*keys, size=10):
    made = S3Fifo()
    for key in keys:
        made.add(key, size)
    return made


def test_what_was_never_read_goes_in_the_order_in_which_it_came():
    made = filled(*"abc")
    assert [made.evict(free) for _ in range(4)] == ["a", "b", "c", None]
    assert (len(made), made.octets) == (0, 0)


def test_what_was_read_more_than_once_outlives_what_was_read_once():
    made = filled(*"abcd")
    for key in "aab":
        made.read(key)
    assert [made.evict(free) for _ in range(4)] == ["b", "c", "d", "a"]


def test_each_read_in_the_main_queue_is_one_more_turn():
    made = filled(*"ab")
    for key in "aabb":
        made.read(key)
    made.add("c", 10)
    assert made.evict(free) == "c"  # both others have moved to the main queue
    made.read("a")
    assert [made.evict(free) for _ in range(2)] == ["b", "a"]


def test_what_comes_back_soon_is_put_into_the_main_queue():
    made = filled(*"abcd")
    for key in "ab":
        made.read(key)
        made.read(key)
    assert made.evict(free) == "c"
    assert made.ghosts == 1
    made.add("c", 10)
    made.add("e", 10)
    # The small queue goes first.
    assert [made.evict(free) for _ in range(2)] == ["d", "e"]
    assert "c" in made


def test_names_that_went_are_no_more_than_objects_in_the_main_queue():
    made = filled(*range(1000))
    for _ in range(1000):
        made.evict(free)
    assert made.ghosts <= 1


def test_what_is_busy_stays_while_anything_else_is_there():
    made = filled(*"abc")
    assert made.evict(lambda key: key != "c") == "c"
    assert made.evict(lambda key: True) is None
    assert made.octets == 20
    assert sorted(str(made.evict(free)) for _ in range(2)) == ["a", "b"]


def test_what_is_in_the_small_queue_goes_when_all_of_the_main_queue_is_busy():
    made = S3Fifo()
    made.load([("busy", 1000, MAX_COUNT), ("free", 1, 0)])
    assert made.evict("busy".__eq__) == "free"
    assert made.evict("busy".__eq__) is None
    assert "busy" in made


def test_what_was_there_before_is_in_its_old_order_with_its_reads():
    made = S3Fifo()
    made.load([("old", 10, 0), ("read", 10, 7), ("new", 10, 1), ("old", 99, 9)])
    assert made.octets == 30
    assert [made.evict(free) for _ in range(3)] == ["old", "new", "read"]


def test_what_is_deleted_is_forgotten():
    made = filled(*"ab")
    made.remove("a")
    made.remove("z")
    made.read("z")
    assert made.evict(free) == "b"


@given(st.lists(st.tuples(st.sampled_from("arde"), st.integers(0, 9), st.integers(0, 50)), max_size=60))
def test_the_octets_are_those_of_the_objects_that_are_here(steps):
    made, sizes = S3Fifo(), {}
    for what, key, size in steps:
        match what:
            case "a":
                made.add(key, size)
                sizes.setdefault(key, size)
            case "r":
                made.read(key)
            case "d":
                made.remove(key)
                sizes.pop(key, None)
            case _:
                busy = key % 3
                gone = made.evict(lambda key, busy=busy: key % 3 == busy)
                assert gone is None or gone % 3 != busy
                assert (gone is None) == all(key % 3 == busy for key in sizes)
                sizes.pop(gone, None)
        assert (len(made), made.octets) == (len(sizes), sum(sizes.values()))
        assert all(key in made for key in sizes)


class Ordered:
    """FIFO and, when a read moves an object to the end, LRU: the rivals."""

    def __init__(self, *, moves):
        self._sizes = OrderedDict()
        self._moves = moves
        self.octets = 0

    def __contains__(self, key):
        return key in self._sizes

    def add(self, key, size):
        self._sizes[key] = size
        self.octets += size

    def read(self, key):
        if self._moves:
            self._sizes.move_to_end(key)

    def evict(self, is_busy):
        key, size = self._sizes.popitem(last=False)
        self.octets -= size
        return key


def trace(length=60_000, objects=5_000):
    """Zipf 0.9; one read in four is of what is never read again, and now and then somebody reads 500 new ones."""
    chance = random.Random(7069)
    popular = chance.choices(range(objects), [1 / rank**0.9 for rank in range(1, objects + 1)], k=length)
    sizes, fresh, at = {}, objects, 0
    while at < length:
        run = 500 if chance.random() < 1 / 4000 else int(chance.random() < 1 / 4)
        for key in [*range(fresh, fresh + run), *([] if run else [popular[at]])]:
            yield key, sizes.setdefault(key, 1 + chance.randrange(64) ** 2)
        fresh += run
        at += max(1, run)


def octets_found(cache, requests, capacity):
    """The share of octets that were there, in thousandths."""
    hit = total = 0
    for key, size in requests:
        total += size
        if key in cache:
            hit += size
            cache.read(key)
            continue
        while cache.octets + size > capacity:
            cache.evict(free)
        cache.add(key, size)
    return hit * 1000 // total


def test_more_octets_of_popular_objects_one_hit_wonders_and_scans_are_found_than_with_lru_or_fifo():
    requests = list(trace())
    capacity = sum(dict(requests).values()) // 40
    ours = octets_found(S3Fifo(), requests, capacity)
    lru = octets_found(Ordered(moves=True), requests, capacity)
    fifo = octets_found(Ordered(moves=False), requests, capacity)
    assert ours > lru * 1.1 > fifo * 1.1


def test_reads_are_counted_in_two_bits():
    made = filled(*"ab")
    for _ in range(100):
        made.read("a")
    made.evict(free)
    assert MAX_COUNT == 3
    assert made.evict(free) == "a"
