"""Limits on connections: exact among the workers of one machine, whoever dies or is away."""

import fcntl
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from decade_serve import bearer_of, make_key, processing

from decade.errors import StoreError
from decade.messages import Status, decode_message
from decade.names import name_of
from interop.decade_store import connections as connections_module
from interop.decade_store._connecting import connect
from interop.decade_store.connections import SqliteConnections

LIMIT = 3
NODES = [((), None), (("a",), LIMIT), ((b"thumbprint", b"cti"), LIMIT + 1)]
LIMITS = [(node, limit) for node, limit in NODES if limit is not None]
_SPAWN = multiprocessing.get_context("spawn")


def worker(folder: Path, name: str) -> SqliteConnections:
    """One that lives, as long as this process."""
    fd = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return SqliteConnections(folder, name)


def test_a_limit_counts_what_all_workers_have_open(tmp_path: Path) -> None:
    one, two = worker(tmp_path, "one"), worker(tmp_path, "two")
    assert [each.open(LIMITS) for each in (one, two, one, two, one)] == [None, None, None, (0, 3), (0, 3)]
    assert two.open(LIMITS[1:]) is None
    assert one.open([(("b",), 9), *LIMITS[1:]]) == (1, 4)
    assert [each.count(("b",)) for each in (one, two)] == [0, 0]
    one.close([node for node, _ in LIMITS])
    assert [each.count(("a",)) for each in (one, two)] == [2, 2]
    one.end()
    assert two.count(("a",)) == 1
    two.end()


def test_what_cannot_be_told_while_another_worker_hangs_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "BUSY_TIMEOUT", 0.05)
    one, two = worker(tmp_path, "one"), worker(tmp_path, "two")
    for _ in range(LIMIT):
        assert one.open(LIMITS) is None
    (path,) = tmp_path.glob("connections-*.sqlite3")
    hanging = sqlite3.connect(path, isolation_level=None)
    hanging.execute("BEGIN IMMEDIATE")
    one.close([node for node, _ in LIMITS])
    with pytest.raises(StoreError):
        one.open(LIMITS)
    assert one.count(("a",)) == LIMIT
    hanging.execute("ROLLBACK")
    hanging.close()
    assert two.open(LIMITS) == (0, LIMIT)
    assert one.open(LIMITS) is None
    assert two.count(("a",)) == LIMIT
    one.end()
    two.end()


def race(folder: Path, seed: int, rounds: int, now: Any, start: Any, said: Any) -> None:
    """Connections come and go; `now`: how many are open, counted inside."""
    connections, rng = worker(folder, f"{seed}"), random.Random(seed)
    held, most, refused = 0, 0, 0
    start.wait()
    for _ in range(rounds):
        if held and rng.random() < 0.5:
            held -= 1
            with now.get_lock():
                now.value -= 1
            connections.close([node for node, _ in LIMITS])
        elif connections.open(LIMITS) is None:
            held += 1
            with now.get_lock():
                now.value += 1
                most = max(most, now.value)
        else:
            refused += 1
    said.put((most, refused))
    if seed:
        with now.get_lock():
            now.value -= held
        connections.end()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def test_processes_never_have_more_open_than_the_limit_and_one_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    now, start, said = _SPAWN.Value("i", 0), _SPAWN.Barrier(3), _SPAWN.SimpleQueue()
    processes = [_SPAWN.Process(target=race, args=(tmp_path, seed, 200, now, start, said)) for seed in range(3)]
    for process in processes:
        process.start()
    found = [said.get() for _ in processes]
    for process in processes:
        process.join()
    assert max(most for most, _ in found) == LIMIT
    assert sum(refused for _, refused in found) > 0
    last = worker(tmp_path, "last")
    assert last.count(("a",)) == 0
    last.end()


def test_files_of_an_earlier_start_of_the_machine_go(tmp_path: Path) -> None:
    old = tmp_path / "connections-0.sqlite3"
    old.write_bytes(b"torn")
    one = worker(tmp_path, "one")
    assert not old.exists()
    one.end()


def begin(served: Any, key: Any, body: bytes) -> socket.socket:
    """An upload that has come as far as its head."""
    connection = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])))
    ((name, value),) = bearer_of(key, served.name).items()
    head = f"PUT {name_of(body).path} HTTP/1.1\r\nHost: sb\r\n{name}: {value}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode())
    connection.setblocking(False)
    return connection


def refused(connections: list[socket.socket]) -> int:
    """How many were answered; the others wait for the rest of their body."""
    heads = []
    for connection in connections:
        try:
            heads.append(connection.recv(12, socket.MSG_PEEK))
        except BlockingIOError:
            continue
    assert set(heads) <= {b"HTTP/1.1 429"}
    return len(heads)


def open_at(served: Any, key: Any) -> int:
    """The connections of the account, as it is told."""
    answer = httpx.get(f"{served.url}/decade/v1/status", headers=bearer_of(key, served.name))
    if answer.status_code == 429:
        return LIMIT
    status = decode_message(answer.content)
    assert isinstance(status, Status)
    return status.usage.connections


def test_workers_of_decade_serve_have_no_more_requests_at_a_time_than_the_account_may(tmp_path: Path) -> None:
    key, config = make_key(tmp_path / "alice.pem"), tmp_path / "decade.toml"
    config.write_text(
        'server = "https://sb.example"\nlisten = "127.0.0.1:0"\nroot = "objects"\nworkers = 3\n'
        '[accounts.alice]\nconnections = 2\n[accounts.alice.keys.laptop]\nfile = "alice.pem"\n'
    )
    with processing(config) as served:
        for count in (8, 6):
            uploads = [begin(served, key, bytes((number,)) * 100) for number in range(count)]
            deadline = time.monotonic() + 60
            while (found := refused(uploads)) < count - 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert found == count - 2
            for upload in uploads:
                upload.close()
            # Their slots are free when the server has seen that they are gone; whoever asks has one.
            while open_at(served, key) > 1 and time.monotonic() < deadline:
                time.sleep(0.02)


def test_workers_that_start_at_once_make_a_file_together(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def starting(path: Path) -> None:
        together.wait()
        connection = connect(path, 60)
        connection.execute("CREATE TABLE IF NOT EXISTS made (once)")
        connection.close()

    with ThreadPoolExecutor(together.parties) as pool:
        for number in range(40):
            for started in [pool.submit(starting, tmp_path / str(number)) for _ in range(together.parties)]:
                started.result()
