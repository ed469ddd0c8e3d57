"""The logs of a server in a file: what they say after a restart, and from several processes, is what memory says."""

import sqlite3
from contextlib import closing

import pytest

import interop.decade_store.journal as module
from decade.errors import StoreError
from decade.journal import Journal, MemoryJournal, Seen, Sent, one_read
from decade.names import name_of
from interop.decade_store.journal import SqliteJournal

NAMES = [name_of(bytes([at])) for at in range(3)]
START = 1_800_000_000
ALWAYS = (0, 2**62)


def fill(made: Journal) -> None:
    for at in range(40):
        token = bytes([at % 5]) * 16
        made.add_read("alice" if at % 7 else "bob", one_read(NAMES[at % 3], token, at, START + at * 700))
        made.add_sent("alice", Sent(START + at // 2, NAMES[at % 3], f"https://s{at % 4}.example"))


def answers(made: Journal):
    for account in ("alice", "bob", "carol"):
        yield made.whole_from(account)
        for frame in (ALWAYS, (START + 3000, START + 9000), (START, START)):
            for count in (3, 99):
                page = made.reads(account, frame, None, count)
                yield list(page)
                if page:
                    yield list(made.reads(account, frame, page[-1].key, count))
                page = made.sent(account, frame, None, count)
                yield list(page)
                if page:
                    yield list(made.sent(account, frame, page[-1].key, count))
        yield [list(made.seen(account, name, since, 4)) for name in NAMES for since in (0, START + 9000)]


def test_a_file_says_what_memory_says_also_after_a_restart(tmp_path):
    wanted = MemoryJournal()
    fill(wanted)
    path = tmp_path / "journal.sqlite3"
    made = SqliteJournal(path)
    fill(made)
    assert list(answers(made)) == list(answers(wanted))
    made.close()
    made = SqliteJournal(path)
    assert list(answers(made)) == list(answers(wanted))
    for log in (made, wanted):
        log.forget(START + 9000)
    assert list(answers(made)) == list(answers(wanted))
    made.close()


def test_processes_that_share_a_file_count_together(tmp_path):
    path = tmp_path / "journal.sqlite3"
    one, two = SqliteJournal(path), SqliteJournal(path)
    one.add_read("alice", one_read(NAMES[0], b"t", 1, START))
    two.add_read("alice", one_read(NAMES[0], b"t", 1, START + 1))
    one.seen("alice", NAMES[0], 0, 9)  # which writes what waits
    assert two.seen("alice", NAMES[0], 0, 9) == [Seen(b"t", 2, START + 1)]
    one.close()
    two.close()


def test_a_full_log_loses_the_oldest_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    made = SqliteJournal(tmp_path / "journal.sqlite3")
    for at in range(6):
        made.add_read("alice", one_read(NAMES[0], bytes([at]), 1, START + at))
        made.add_sent("bob", Sent(START + at, NAMES[0], "https://s.example"))
    assert [entry.token for entry in made.reads("alice", ALWAYS, None, 9)] == [b"\x04", b"\x05"]
    assert [sent.time for sent in made.sent("bob", ALWAYS, None, 9)] == [START + 4, START + 5]
    assert (made.whole_from("alice"), made.whole_from("bob")) == (START + 4, START + 4)
    made.close()


def test_a_file_that_fails_loses_entries_and_fails_no_read_of_an_object(tmp_path, caplog):
    path = tmp_path / "journal.sqlite3"
    made = SqliteJournal(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE reads")
    made.add_read("alice", one_read(NAMES[0], b"t", 1, START))
    with pytest.raises(StoreError):
        made.reads("alice", ALWAYS, None, 9)
    assert made.whole_from("alice") == START + 1
    assert "1 entries of the log are lost" in caplog.text
    made.close()
