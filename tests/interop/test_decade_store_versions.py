"""What tells a process that another one has written: the header of SQLite's WAL index. And files of older versions."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from decade.cose import Ed25519SigningKey
from decade.named import bind
from decade.names import SHA_256, Name
from interop.decade_store._database import _SCHEMA, Database
from interop.decade_store.index import Index, remove
from interop.decade_store.index import bind as index_bind

WRITE = """
import sys
from pathlib import Path
from interop.decade_store._database import Database
database = Database(Path(sys.argv[1]))
with database.transaction() as connection:
    connection.execute("INSERT INTO revoked_key VALUES ('alice', x'00')")
database.close()
"""


def locks(path: Path) -> int:
    """The locks that this process has on a file."""
    inode = os.stat(path).st_ino
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(int(fields[4]) == os.getpid() and int(fields[5].rpartition(":")[2]) == inode for fields in held)


def test_what_another_process_writes_changes_the_version(tmp_path: Path) -> None:
    database = Database(tmp_path / "index")
    before = database.version()
    database.rows("SELECT * FROM revoked_key")
    assert database.version() == before
    subprocess.run([sys.executable, "-c", WRITE, tmp_path / "index"], check=True)
    assert database.version() != before
    assert len(database.rows("SELECT * FROM revoked_key")) == 1
    database.close()


def test_what_another_connection_writes_changes_the_version_and_what_is_undone_does_not(tmp_path: Path) -> None:
    reading, writing = Database(tmp_path / "index"), Database(tmp_path / "index")
    versions = [reading.version()]
    with writing.transaction() as connection:
        connection.execute("INSERT INTO revoked_key VALUES ('alice', x'00')")
        versions.append(reading.version())
    versions.append(reading.version())
    try:
        with writing.transaction() as connection:
            connection.execute("INSERT INTO revoked_key VALUES ('alice', x'01')")
            raise KeyError
    except KeyError:
        versions.append(reading.version())
    assert versions[0] == versions[1]
    assert versions[1] != versions[2]
    assert versions[2] == versions[3]
    for database in (reading, writing):
        database.close()


def test_a_connection_that_is_closed_takes_no_lock_of_another_one_with_it(tmp_path: Path) -> None:
    one, other = Database(tmp_path / "index"), Database(tmp_path / "index")
    assert locks(tmp_path / "index-shm") > 0
    other.close()
    assert locks(tmp_path / "index-shm") > 0
    one.close()
    again = Database(tmp_path / "index")
    assert again.rows("SELECT count(*) FROM clock") == [(0,)]
    again.close()


def test_a_file_that_was_made_before_there_were_signed_names_gets_room_for_them(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.executescript(_SCHEMA)
        old.execute("INSERT INTO object VALUES ('a', zeroblob(32), '[\"a\"]', 5, 1, NULL, NULL, 0, 0, NULL, NULL)")
    for _ in range(2):
        Database(path).close()
    binding = bind(Ed25519SigningKey(bytes(32)), b"l", Name(SHA_256, bytes(32)))
    index = Index(path)
    with index.database.transaction() as connection:
        assert index_bind(connection, "a", binding) == binding
    assert index.find_bound("a", binding.signed) == binding
    with index.database.transaction() as connection:
        assert remove(connection, "a", binding.name) is not None
    assert index.find_bound("a", binding.signed) is None
    index.close()
