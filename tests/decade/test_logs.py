"""Logs as messages: time frames that say what the log has, pages, and how much there is of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import DecodeError
from decade.journal import PERIOD, MemoryJournal, hash_of_token
from decade.logs import LOG_PAGE, SERVER_PAGE, Logs, Query, read_query
from decade.messages import AccessLog, TokenSeen, decode_message, encode_message
from decade.names import name_of
from decade.waiting import Clock, begin

NOW = 1_800_000_000 // PERIOD * PERIOD
A, B = name_of(b"a"), name_of(b"b")
CTI = bytes(16)


def filled(count=3):
    made = Logs(MemoryJournal(), 10 * PERIOD)
    for at in range(count):
        made.add_read("alice", A, at.to_bytes(16), 5, NOW + at)
    return made


def access(made, query=None, wall=NOW + PERIOD):
    return begin(made.access("alice", query or Query(), wall, Clock(1.0)))


def distribution(made, query=None, wall=NOW + PERIOD):
    return begin(made.distribution("alice", query or Query(), wall, Clock(1.0)))


def test_an_entry_says_which_token_has_read_what_how_often_and_how_much():
    made = filled()
    made.add_read("alice", A, CTI, 7, NOW + 9)
    made.add_read("alice", B, None, 1, NOW + 9)
    made.add_read("bob", B, CTI, 1, NOW + 9)
    log = access(made)
    found = {(entry.name, entry.token): (entry.reads, entry.octets, entry.last_read) for entry in log.entries}
    assert found[A, hash_of_token(CTI)] == (2, 12, NOW + 9)
    assert found[B, b""] == (1, 1, NOW + 9)
    assert len(found) == 4
    assert log.cursor is None
    assert all(entry.client is None for entry in log.entries)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Query(), (NOW - 9 * PERIOD, NOW + PERIOD)),
        (Query(NOW, NOW + 1), (NOW, NOW + 1)),
        (Query(0, 2**49), (NOW - 9 * PERIOD, NOW + PERIOD)),
        (Query(0, 5), (NOW - 9 * PERIOD, NOW - 9 * PERIOD)),
        (Query(2**49), (2**49, 2**49)),
    ],
)
def test_the_frame_is_what_was_asked_for_as_far_as_the_log_goes(asked, told):
    log = access(filled(), asked)
    assert (log.frame.start, log.frame.end) == told
    assert bool(log.entries) == (told[0] <= NOW + 2 and told[1] >= NOW)


def test_what_is_older_than_it_may_be_is_neither_told_nor_kept():
    made = filled()
    late = NOW + 2 + 10 * PERIOD
    assert len(access(made, wall=late).entries) == 1
    made.forget(late)
    assert len(made._journal.reads("alice", (0, 2**60), None, 9)) == 1


def test_a_log_that_had_no_room_says_from_when_it_is_whole(monkeypatch):
    monkeypatch.setattr("decade.journal.MAX_ENTRIES", 2)
    log = access(filled(5))
    assert log.frame.start == NOW + 3
    assert len(log.entries) == 2


def test_pages_of_reads_fit_into_messages_and_have_all_of_them():
    made = filled(LOG_PAGE + 3)
    first = decode_message(encode_message(access(made)))
    assert isinstance(first, AccessLog)
    assert len(first.entries) == LOG_PAGE
    second = access(made, Query(cursor=first.cursor))
    assert second.cursor is None
    assert len({entry.token for entry in (*first.entries, *second.entries)}) == LOG_PAGE + 3


def test_the_longest_entries_fit_into_a_page():
    made = Logs(MemoryJournal(), 2**40)
    for at in range(LOG_PAGE):
        made.add_read("alice", A, at.to_bytes(16), 2**64 - 1, 2**40 + at)
    assert len(encode_message(access(made, wall=2**40 + LOG_PAGE))) < 65536
    for at in range(SERVER_PAGE):
        made.add_sent("alice", A, "u" * 2048, 2**40 + at)
    assert len(encode_message(distribution(made, wall=2**40 + LOG_PAGE))) < 65536
    assert len(encode_message(distribution(made, Query(cursor=b"c"), wall=2**40 + LOG_PAGE))) < 65536


def test_where_objects_went_is_told_of_servers_and_then_of_clients():
    made = filled(2)
    made.add_read("alice", B, None, 1, NOW)
    for at in range(SERVER_PAGE + 1):
        made.add_sent("alice", A, f"https://s{at:02}.example", NOW)
    log, servers, clients = distribution(made), [], []
    while True:
        servers += [(sent.name, sent.server, sent.time) for sent in log.servers]
        clients += [(sent.name, sent.client, sent.time) for sent in log.clients]
        if log.cursor is None:
            break
        log = distribution(made, Query(cursor=log.cursor))
    assert servers == [(A, f"https://s{at:02}.example", NOW) for at in range(SERVER_PAGE + 1)]
    first, second = (f"cti:{hash_of_token(at.to_bytes(16)).hex()}" for at in range(2))
    assert sorted(clients, key=str) == sorted([(A, first, NOW), (A, second, NOW + 1), (B, "anybody", NOW)], key=str)


def test_the_tokens_of_an_object_are_told_with_their_reads():
    made = filled(2)
    made.add_read("alice", A, CTI, 1, NOW + 5)
    seen = begin(made.seen("alice", A, NOW + 6, Clock(1.0)))
    assert seen == (
        TokenSeen(token=hash_of_token(CTI), reads=2),
        TokenSeen(token=hash_of_token((1).to_bytes(16)), reads=1),
    )


def test_a_query_has_times_and_a_cursor():
    assert read_query("") == Query()
    assert read_query("from=5&to=5&cursor=AAE") == Query(5, 5, b"\x00\x01")
    assert read_query("other=1") == Query()


@pytest.mark.parametrize(
    "text",
    [
        "from=x",
        "from=-1",
        "to=1e9",
        "from=" + "9" * 16,
        "from=2&to=1",
        "cursor=A",
        "cursor=$",
        "from",
        "&" * 9,
        "from=%FF",
    ],
)
def test_what_is_no_query_is_refused(text):
    with pytest.raises(DecodeError):
        read_query(text)


@given(st.text(max_size=40))
def test_whatever_is_asked_is_a_query_or_refused(text):
    try:
        query = read_query(text)
        access(filled(), query)
        distribution(filled(), query)
    except DecodeError:
        pass


@pytest.mark.parametrize("cursor", [b"x", b"s1", b"c" + bytes(39)])
def test_a_cursor_of_another_log_is_refused(cursor):
    with pytest.raises(DecodeError):
        distribution(filled(), Query(cursor=cursor))
