"""Policies that an account puts for its applications, in SQLite and in Redis: they hold behind a restart, and in every
process of a server, whatever the provider's configuration says by then.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from decade_scale import Site
from decade_server import ACCOUNT, APP, KEYS, LIFE, NOW, PEER, SERVER, bearer, token, whole

from decade.errors import StoreError
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, ResourcePolicy, WhenFull, decode_message, encode_message
from decade.names import name_of
from decade.ports import NodePath
from decade.settings import Extension, Settings, default_limits
from decade.waiting import Waiting, settle
from interop.decade_scale import RedisPolicies, ScaledServer, Shared, open_scaled_server
from interop.decade_scale._engine import Engine, UnsureError
from interop.decade_store import DurableServer, SqlitePolicies, open_server

LIVE = (ACCOUNT, "live")
POLICY = ResourcePolicy(weight=3, storage=1000)
CONFIGURED = {(ACCOUNT,): ResourcePolicy(weight=1), (ACCOUNT, "named"): ResourcePolicy(weight=1)}
NO_EXTENSIONS: frozenset[Extension] = frozenset()
_SPAWN = multiprocessing.get_context("spawn")

Place = Path | Shared
Opened = DurableServer | ScaledServer
Open = Callable[..., Opened]


def open_at(
    place: Place,
    configured: dict[NodePath, ResourcePolicy] | None = None,
    extensions: frozenset[Extension] = NO_EXTENSIONS,
) -> Opened:
    """One more process of the server at a place."""
    limits = attrs.evolve(default_limits(), max_token_life=LIFE)
    settings = Settings(server=SERVER, limits=limits, extensions=extensions)
    policies = CONFIGURED if configured is None else configured
    if isinstance(place, Path):
        return open_server(place, settings, KEYS.get, policies, epoch=NOW)
    return open_scaled_server(place, settings, KEYS.get, policies, epoch=NOW)


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where processes keep what they share."""
    if request.param == "sqlite":
        return tmp_path / "store"
    site: Site = request.getfixturevalue("site")
    shared: Shared = site.shared
    return shared


@pytest.fixture
def opened(place: Place) -> Iterator[Open]:
    """Opens one more process; all end with the test."""
    made: list[Opened] = []

    def one_more(*words: Any, **more: Any) -> Opened:
        made.append(open_at(place, *words, **more))
        return made[-1]

    yield one_more
    for process in made:
        process.close()


def send(process: Opened, method: str, target: str, key: bytes, body: bytes = b"", media_type: str = "") -> Response:
    """The whole answer."""
    fields = bearer(key)
    if method == "PUT":
        fields += (("Content-Length", str(len(body))), *((("Content-Type", media_type),) if media_type else ()))
    answer: Any = settle(process.server.handle(Request(method, target, fields), PEER, 1.0), 1.0)
    if not isinstance(answer, Response):
        answer = answer.feed(body, 1.0) or settle(answer.finish(1.0), 1.0)
    response: Response = whole(answer, 1.0)
    return response


def ask(process: Opened, method: str, app: str, policy: ResourcePolicy | None = None) -> int:
    """The status of the answer."""
    body = b"" if policy is None else encode_message(policy)
    return send(process, method, f"/decade/v1/policy/{app}", token(), body, MEDIA_TYPE).status


def store(process: Opened, octets: bytes) -> int:
    """The status when the application stores an object."""
    return send(process, "PUT", name_of(octets).path, token(APP), octets).status


def tick(process: Opened, now: float = 1.0) -> None:
    """A second is over."""
    settle(process.server.handle_timer(now), now)


def test_a_policy_that_was_put_or_removed_is_so_behind_a_restart(place: Place) -> None:
    process = open_at(place)
    assert ask(process, "PUT", "live", POLICY) == 204
    assert ask(process, "DELETE", "named") == 204
    process.close()
    process = open_at(place)
    assert process.tree.policy(LIVE) == POLICY
    assert process.tree.apps(ACCOUNT) == ("live",)
    assert ask(process, "DELETE", "live") == 204
    process.close()
    process = open_at(place)
    assert process.tree.apps(ACCOUNT) == ()
    process.close()


def test_another_process_sees_it_within_a_second_and_at_once_when_asked(opened: Open) -> None:
    first, second, third = opened(), opened(), opened()
    assert ask(first, "PUT", "live", POLICY) == 204
    body = send(second, "GET", "/decade/v1/policy/live", token()).body
    assert isinstance(body, bytes)
    assert decode_message(body) == POLICY
    assert store(third, bytes(600)) == 201
    other = attrs.evolve(POLICY, weight=9)  # type: ignore[misc]
    assert ask(first, "PUT", "live", other) == 204
    timer = second.server.get_timer()
    assert timer is not None
    assert timer <= 1.0
    assert second.tree.policy(LIVE) == POLICY
    tick(second)
    assert second.tree.policy(LIVE) == other
    assert send(second, "DELETE", name_of(bytes(600)).path, token(APP)).status == 204
    assert ask(second, "DELETE", "live") == 204
    tick(first)
    assert first.tree.policy(LIVE) is None
    assert store(third, bytes(600)) == 403


def test_a_limit_of_storage_holds_at_every_process_from_the_answer_on(opened: Open) -> None:
    first, second = opened(), opened()
    assert ask(first, "PUT", "live", POLICY) == 204
    assert store(second, bytes(600)) == 201
    assert ask(first, "PUT", "live", ResourcePolicy(weight=1, storage=700)) == 204
    assert store(second, bytes(200)) == 507
    assert store(second, bytes(100)) == 201
    assert ask(first, "PUT", "live", ResourcePolicy(weight=1, storage=699)) == 507
    assert ask(first, "DELETE", "live") == 409
    assert ask(second, "PUT", "live", ResourcePolicy(weight=1)) == 204
    assert store(first, bytes(200)) == 201


def test_what_comes_while_a_policy_is_on_its_way_to_the_disk_counts(opened: Open) -> None:
    first, second = opened(), opened()
    assert ask(first, "PUT", "live", POLICY) == 204
    body = encode_message(ResourcePolicy(weight=1, storage=500))
    fields = (*bearer(token()), ("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    upload: Any = settle(first.server.handle(Request("PUT", "/decade/v1/policy/live", fields), PEER, 1.0), 1.0)
    upload.feed(body, 1.0)
    saving = upload.finish(1.0)
    assert isinstance(saving, Waiting)
    assert store(second, bytes(600)) == 201
    assert settle(saving, 1.0).status == 507
    assert first.tree.policy(LIVE) == POLICY


def test_an_upload_that_was_given_up_is_in_nobodys_way(opened: Open) -> None:
    process = opened()
    assert ask(process, "PUT", "live", POLICY) == 204
    for _ in range(20):
        fields = (*bearer(token(APP)), ("Content-Length", "600"))
        upload: Any = settle(process.server.handle(Request("PUT", name_of(bytes(600)).path, fields), PEER, 1.0), 1.0)
        upload.feed(bytes(10), 1.0)
        upload.abort(1.0)
        assert ask(process, "PUT", "live", ResourcePolicy(weight=1, storage=0)) == 204
        assert ask(process, "DELETE", "live") == 204
        assert ask(process, "PUT", "live", POLICY) == 204


def test_what_the_configuration_says_since_goes_before_what_was_put(place: Place) -> None:
    process = open_at(place)
    assert ask(process, "PUT", "named", POLICY) == 204
    process.close()
    named, other = (ACCOUNT, "named"), ResourcePolicy(weight=8, storage=50)
    for configured, expected in (
        (CONFIGURED, POLICY),
        (CONFIGURED | {named: other}, other),
        ({(ACCOUNT,): ResourcePolicy(weight=5)}, None),
        ({("bob",): ResourcePolicy(weight=5)}, None),
        (CONFIGURED, POLICY),
    ):
        process = open_at(place, configured)
        assert process.tree.policy(named) == expected
        process.close()


def test_a_policy_whose_extension_is_off_is_kept_without_it(place: Place) -> None:
    policy = ResourcePolicy(weight=3, storage=1000, when_full=WhenFull.EVICT_OWN)
    for extensions, expected in (({Extension.EVICT_OWN}, policy), (set(), POLICY), ({Extension.EVICT_OWN}, policy)):
        process = open_at(place, extensions=frozenset(extensions))
        if expected is policy:
            ask(process, "PUT", "live", policy)
        assert process.tree.policy(LIVE) == expected
        process.close()


def test_a_policy_that_cannot_be_kept_is_not_put(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    process = opened()
    assert ask(process, "PUT", "live", POLICY) == 204

    def fail(*_: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(SqlitePolicies, "save", fail)
        patch.setattr(RedisPolicies, "save", fail)
        assert ask(process, "PUT", "live", ResourcePolicy(weight=1)) == 503
        assert ask(process, "PUT", "new", POLICY) == 503
        assert ask(process, "DELETE", "live") == 503
    assert process.tree.policy(LIVE) == POLICY
    assert "new" not in process.tree.apps(ACCOUNT)


def test_a_policy_of_which_nobody_knows_whether_it_was_kept_is_the_same_at_all_servers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = open_at(site.shared), open_at(site.shared)
    done = Engine.run

    def lose(self: Engine, name: str, *arguments: Any) -> Any:
        found = done(self, name, *arguments)
        if name == "put_policy":
            raise UnsureError("no answer")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "run", lose)
        assert ask(first, "PUT", "live", POLICY) == 503
    for process in (first, second):
        tick(process)
        assert process.tree.policy(LIVE) == POLICY
        process.close()


def store_and_remove(place: Place, seed: int, rounds: int, start: Any, said: Any, ready: Any) -> None:
    """Objects of an application come and go, until some were refused."""
    process, rng, held = open_at(place), random.Random(seed), []
    codes: list[int] = []
    start.wait()
    while len(codes) < rounds or len(set(codes)) < 2:
        octets = rng.randbytes(rng.randrange(1, 400))
        codes.append(store(process, octets))
        if codes[-1] == 201:
            held.append(octets)
        while held and rng.random() < 0.6:
            send(process, "DELETE", name_of(held.pop()).path, token(APP))
    ready.release()
    process.close()
    said.put(("objects", codes, 0))


def change_and_look(place: Place, seed: int, rounds: int, start: Any, said: Any, ready: Any) -> None:
    """Limits of that application, for as long as the others go on: how often more was held than was answered."""
    process, rng = open_at(place), random.Random(seed)
    codes: list[int] = []
    broken, others = 0, 2
    start.wait()
    while len(codes) < rounds or len(set(codes)) < 2 or others:
        others -= others and ready.acquire(block=False)
        limit = rng.randrange(1000)
        codes.append(ask(process, "PUT", "live", ResourcePolicy(weight=1, storage=limit)))
        for _ in range(8 if codes[-1] == 204 else 0):
            broken += process.tree.holding(LIVE).used > limit
    process.close()
    said.put(("policies", codes, broken))


def test_while_objects_come_at_two_processes_no_limit_is_passed_that_a_third_has_answered(place: Place) -> None:
    process = open_at(place)
    assert ask(process, "PUT", "live", POLICY) == 204
    start, said, ready = _SPAWN.Barrier(3), _SPAWN.Queue(), _SPAWN.Semaphore(0)
    works = [(store_and_remove, 60), (store_and_remove, 60), (change_and_look, 50)]
    processes = [
        _SPAWN.Process(target=work, args=(place, seed, rounds, start, said, ready))
        for seed, (work, rounds) in enumerate(works)
    ]
    for each in processes:
        each.start()
    found = [said.get(timeout=100) for _ in processes]
    for each in processes:
        each.join()
        assert each.exitcode == 0
    assert sum(broken for _, _, broken in found) == 0
    for kind, codes, _ in found:
        assert set(codes) == ({201, 507} if kind == "objects" else {204, 507})
    process.close()
