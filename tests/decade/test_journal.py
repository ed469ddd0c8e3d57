"""Logs of what was read with which token, and of what went where."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade import journal
from decade.errors import DecodeError
from decade.journal import (
    NO_TOKEN,
    PERIOD,
    MemoryJournal,
    Reads,
    Seen,
    Sent,
    hash_of_token,
    one_read,
    read_key,
    write_key,
)
from decade.names import Name, name_of

A, B = sorted((name_of(b"a"), name_of(b"b")), key=lambda name: name.value)
HOUR = 1_800_000_000 // PERIOD * PERIOD
ALWAYS = (0, 2**62)


def filled(*reads, account="alice"):
    made = MemoryJournal()
    for read in reads:
        made.add_read(account, read)
    return made


def test_a_token_is_half_of_the_hash_of_its_cti():
    assert hash_of_token(bytes(16)) == sha256(bytes(16)).digest()[:16]


def test_reads_are_counted_by_hours_objects_and_tokens():
    made = filled(
        one_read(A, b"t", 5, HOUR + 1),
        one_read(A, b"t", 7, HOUR + 9),
        one_read(A, b"u", 1, HOUR + 9),
        one_read(B, b"t", 1, HOUR + 9),
        one_read(A, b"t", 2, HOUR + PERIOD),
    )
    assert made.reads("alice", ALWAYS, None, 9) == [
        Reads(HOUR, A, b"t", 2, 12, HOUR + 9),
        Reads(HOUR, A, b"u", 1, 1, HOUR + 9),
        Reads(HOUR, B, b"t", 1, 1, HOUR + 9),
        Reads(HOUR + PERIOD, A, b"t", 1, 2, HOUR + PERIOD),
    ]
    assert made.reads("bob", ALWAYS, None, 9) == []


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (HOUR, HOUR + PERIOD, [0, 1]),
        (HOUR + 10, HOUR + PERIOD - 1, [0]),
        (HOUR + 11, HOUR + PERIOD, [1]),
        (0, HOUR - 1, []),
        (HOUR + PERIOD + 1, HOUR + PERIOD + 9, []),
    ],
)
def test_a_time_frame_has_the_counts_with_a_read_in_it(start, end, found):
    entries = [one_read(A, b"t", 1, HOUR + 10), one_read(B, b"t", 1, HOUR + PERIOD)]
    assert filled(*entries).reads("alice", (start, end), None, 9) == [entries[at] for at in found]


def test_pages_have_every_entry_once_and_in_order():
    entries = [one_read(name, token, 1, HOUR + 5) for name in (A, B) for token in (NO_TOKEN, b"t", b"u")]
    made = filled(*reversed(entries))
    found, after = [], None
    while page := made.reads("alice", ALWAYS, after, 2):
        assert len(page) <= 2
        found += page
        after = read_key(write_key(page[-1].key))
    assert found == entries


def test_what_went_to_servers_is_in_the_log_with_its_time():
    made = MemoryJournal()
    went = [Sent(HOUR + at, A, f"https://s{at}.example") for at in range(3)]
    for sent in (*went, went[0]):
        made.add_sent("alice", sent)
    assert made.sent("alice", (HOUR + 1, HOUR + 2), None, 9) == went[1:]
    assert made.sent("alice", ALWAYS, went[0].key, 1) == [went[1]]
    assert made.sent("bob", ALWAYS, None, 9) == []


def test_the_tokens_of_an_object_are_told_the_last_ones_first():
    made = filled(
        one_read(A, b"t", 1, HOUR),
        one_read(A, b"u", 1, HOUR + 1),
        one_read(B, b"v", 1, HOUR + 2),
        one_read(A, b"t", 1, HOUR + PERIOD),
    )
    seen = [Seen(b"t", 2, HOUR + PERIOD), Seen(b"u", 1, HOUR + 1)]
    assert made.seen("alice", A, 0, 9) == seen
    assert made.seen("alice", A, 0, 1) == seen[:1]
    assert made.seen("alice", A, HOUR + 2, 9) == [Seen(b"t", 1, HOUR + PERIOD)]


def test_with_too_many_entries_the_oldest_go_and_the_log_says_from_when_it_is_whole(monkeypatch):
    monkeypatch.setattr(journal, "MAX_ENTRIES", 2)
    made = filled(*(one_read(A, bytes([at]), 1, HOUR + at) for at in range(4)))
    assert [entry.token for entry in made.reads("alice", ALWAYS, None, 9)] == [b"\x02", b"\x03"]
    assert made.whole_from("alice") == HOUR + 2
    assert made.whole_from("bob") == 0
    for at in range(4):
        made.add_sent("bob", Sent(HOUR + at, A, "https://s.example"))
    assert made.whole_from("bob") == HOUR + 2


def test_what_is_too_old_is_forgotten():
    made = filled(one_read(A, b"t", 1, HOUR), one_read(A, b"u", 1, HOUR + 5))
    made.add_sent("alice", Sent(HOUR, A, "https://s.example"))
    made.forget(HOUR + 5)
    assert [entry.token for entry in made.reads("alice", ALWAYS, None, 9)] == [b"u"]
    assert made.sent("alice", ALWAYS, None, 9) == []
    made.forget(HOUR + 6)
    assert made._logs == {}


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_a_cursor_is_a_key(time, value, last):
    assert read_key(write_key((time, value, last))) == (time, value, last)
    assert Name("sha-256", value).value == value


@pytest.mark.parametrize("cursor", [b"", bytes(39), b"\xff" * 40])
def test_what_the_log_has_not_given_is_no_cursor(cursor):
    with pytest.raises(DecodeError):
        read_key(cursor)
