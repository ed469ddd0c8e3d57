"""The server of `decade` with all its state in one directory: what was answered holds behind a restart."""

from pathlib import Path

import attrs
import pytest
from decade_server import ACCOUNT, BOB, HELLO, KEYS, LIFE, NOW, OCTETS, PEER, SERVER, bearer, token, whole

from decade.challenge import prove
from decade.http import Request, Response
from decade.messages import (
    MEDIA_TYPE,
    AccessLog,
    Challenge,
    ChallengeRequest,
    Claim,
    Message,
    ObjectInfo,
    ResourcePolicy,
    WhenFull,
    decode_message,
    encode_message,
)
from decade.names import name_of
from decade.settings import LOGS, Extension, Settings, default_limits
from decade.waiting import settle
from interop.decade_store import DurableServer, open_server

LIMIT = 20_000
OBJECT = bytes(range(250)) * 44  # 11,000 octets: two of them are too many


def opened(root: Path) -> DurableServer:
    """As after a start."""
    settings = Settings(server=SERVER, limits=attrs.evolve(default_limits(), max_token_life=LIFE))
    return open_server(root, settings, KEYS.get, {(ACCOUNT,): ResourcePolicy(weight=1, storage=LIMIT)}, epoch=NOW)


def ask(durable: DurableServer, method: str, target: str, key: bytes, body: bytes | None = None) -> Response:
    """The whole answer."""
    headers = bearer(key) if body is None else (*bearer(key), ("Content-Length", str(len(body))))
    answer = settle(durable.server.handle(Request(method, target, headers), PEER, 1.0), 1.0)
    if not isinstance(answer, Response):
        answer = answer.feed(body or b"", 1.0) or settle(answer.finish(1.0), 1.0)
    return whole(answer, 1.0)


def test_an_object_is_there_behind_a_restart(tmp_path: Path) -> None:
    durable = opened(tmp_path / "store")
    assert ask(durable, "PUT", HELLO.path, token(), OCTETS).status == 201
    durable.close()
    durable = opened(tmp_path / "store")
    answer = ask(durable, "GET", HELLO.path, token())
    assert (answer.status, answer.body) == (200, OCTETS)
    durable.close()


def test_a_token_for_one_use_is_used_up_behind_a_restart_too(tmp_path: Path) -> None:
    durable = opened(tmp_path / "store")
    ask(durable, "PUT", HELLO.path, token(), OCTETS)
    once = token(uses=1)
    assert ask(durable, "GET", HELLO.path, once).status == 200
    durable.close()
    durable = opened(tmp_path / "store")
    assert ask(durable, "GET", HELLO.path, once).status == 401
    durable.close()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_quota_counts_what_is_stored_and_deletion_gives_it_back(tmp_path: Path, restarts: bool) -> None:
    durable = opened(tmp_path / "store")
    names = [name_of(OBJECT + bytes([number])) for number in range(3)]
    answers = []
    for number, name in enumerate(names):
        answers.append(ask(durable, "PUT", name.path, token(), OBJECT + bytes([number])).status)
        if restarts:
            durable.close()
            durable = opened(tmp_path / "store")
    assert answers == [201, 507, 507]
    assert ask(durable, "DELETE", names[0].path, token()).status == 204
    assert ask(durable, "PUT", names[1].path, token(), OBJECT + bytes([1])).status == 201
    durable.close()


def test_what_was_read_before_a_restart_outlives_what_was_not(tmp_path: Path) -> None:
    policies = {(ACCOUNT,): ResourcePolicy(weight=1, storage=3 * len(OCTETS), when_full=WhenFull.EVICT_OWN)}
    settings = Settings(server=SERVER, extensions=frozenset({Extension.EVICT_OWN}))
    objects = [OCTETS.replace(b"!", letter) for letter in (b"!", b"1", b"2", b"3")]
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    for octets in objects[:3]:
        ask(durable, "PUT", name_of(octets).path, token(), octets)
    for _ in range(2):
        for octets in (objects[0], objects[2]):
            ask(durable, "GET", name_of(octets).path, token())
    durable.close()
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    assert ask(durable, "PUT", name_of(objects[3]).path, token(), objects[3]).status == 201
    assert [ask(durable, "HEAD", name_of(octets).path, token()).status for octets in objects] == [200, 410, 200, 200]
    assert durable.quotas.holding((ACCOUNT,)).stored == 3 * len(OCTETS)
    durable.close()


def test_two_workers_make_room_in_one_directory(tmp_path: Path) -> None:
    policies = {(ACCOUNT,): ResourcePolicy(weight=1, storage=5 * len(OCTETS), when_full=WhenFull.EVICT_OWN)}
    settings = Settings(server=SERVER, extensions=frozenset({Extension.EVICT_OWN}))
    workers = [open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW) for _ in range(2)]
    objects = [OCTETS.replace(b"!", bytes([number])) for number in range(24)]
    for number, octets in enumerate(objects):
        worker = workers[number % 2 if number < 12 else number % 3 % 2]
        assert ask(worker, "PUT", name_of(octets).path, token(), octets).status == 201
        holding = worker.quotas.holding((ACCOUNT,))
        assert (holding.reserved, holding.stored) == (0, min(number + 1, 5) * len(OCTETS))
    found = [ask(workers[0], "HEAD", name_of(octets).path, token()).status for octets in objects]
    assert found.count(200) == 5
    for worker in workers:
        worker.close()


def test_logs_are_there_behind_a_restart(tmp_path: Path) -> None:
    settings = Settings(server=SERVER, extensions=LOGS)
    policies = {(ACCOUNT,): ResourcePolicy(weight=1)}
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    ask(durable, "PUT", HELLO.path, token(), OCTETS)
    key = token()
    for _ in range(2):
        ask(durable, "GET", HELLO.path, key)
    durable.close()
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    ask(durable, "GET", HELLO.path, key)
    log = decode_message(ask(durable, "GET", "/decade/v1/access-log", token()).body)
    assert isinstance(log, AccessLog)
    assert [(entry.name, entry.reads, entry.octets) for entry in log.entries] == [(HELLO, 3, 3 * len(OCTETS))]
    info = decode_message(ask(durable, "GET", f"/decade/v1/objects/sha-256/{HELLO.text}", token()).body)
    assert isinstance(info, ObjectInfo)
    assert info.access is not None
    assert [seen.reads for seen in info.access.tokens or ()] == [3]
    durable.close()


def test_an_object_that_is_claimed_is_on_the_disk_for_both(tmp_path: Path) -> None:
    settings = Settings(server=SERVER, extensions=frozenset({Extension.CHALLENGE}))
    policies = {(ACCOUNT,): ResourcePolicy(weight=1), ("bob",): ResourcePolicy(weight=1)}
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    name = name_of(OBJECT)
    ask(durable, "PUT", name.path, token(BOB), OBJECT)
    given = decode_message(post(durable, "challenges", ChallengeRequest(name=name)).body)
    assert isinstance(given, Challenge)
    claim = Claim(name=name, seed=given.seed, proof=prove(given.seed, OBJECT))
    assert post(durable, "claims", claim).status == 201
    ask(durable, "DELETE", name.path, token(BOB))
    durable.close()
    durable = open_server(tmp_path / "store", settings, KEYS.get, policies, epoch=NOW)
    assert ask(durable, "GET", name.path, token()).body == OBJECT
    assert durable.quotas.holding((ACCOUNT,)).stored == len(OBJECT)
    durable.close()


def post(durable: DurableServer, path: str, message: Message) -> Response:
    """The answer to a message."""
    body = encode_message(message)
    headers = (*bearer(token()), ("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))))
    upload = settle(durable.server.handle(Request("POST", f"/decade/v1/{path}", headers), PEER, 1.0), 1.0)
    assert not isinstance(upload, Response)
    return upload.feed(body, 1.0) or settle(upload.finish(1.0), 1.0)
