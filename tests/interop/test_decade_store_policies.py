"""Policies that an account puts for its applications hold behind a restart, and in every process of a server."""

from pathlib import Path

import attrs
import pytest
from decade_server import ACCOUNT, KEYS, LIFE, NOW, PEER, SERVER, bearer, token

from decade.errors import StoreError
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, ResourcePolicy, encode_message
from decade.settings import Settings, default_limits
from decade.waiting import settle
from interop.decade_store import DurableServer, SqlitePolicies, open_server

LIVE = (ACCOUNT, "live")
POLICY = ResourcePolicy(weight=3, storage=1000)


def opened(root: Path) -> DurableServer:
    settings = Settings(server=SERVER, limits=attrs.evolve(default_limits(), max_token_life=LIFE))
    policies = {(ACCOUNT,): ResourcePolicy(weight=1), (ACCOUNT, "of the provider"): ResourcePolicy(weight=1)}
    return open_server(root, settings, KEYS.get, policies, epoch=NOW)


def ask(durable: DurableServer, method: str, app: str, policy: ResourcePolicy | None = None) -> int:
    """The status of the answer."""
    body = b"" if policy is None else encode_message(policy)
    fields = bearer(token())
    if policy is not None:
        fields += (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    request = Request(method, f"/decade/v1/policy/{app}", fields)
    answer = settle(durable.server.handle(request, PEER, 1.0), 1.0)
    if not isinstance(answer, Response):
        assert answer.feed(body, 1.0) is None
        answer = settle(answer.finish(1.0), 1.0)
    return answer.status


def test_a_policy_that_was_put_or_removed_is_so_behind_a_restart(tmp_path: Path) -> None:
    durable = opened(tmp_path / "store")
    assert ask(durable, "PUT", "live", POLICY) == 204
    assert ask(durable, "DELETE", "of%20the%20provider") == 204
    durable.close()
    durable = opened(tmp_path / "store")
    assert durable.tree.policy(LIVE) == POLICY
    assert durable.tree.apps(ACCOUNT) == ("live",)
    assert ask(durable, "DELETE", "live") == 204
    durable.close()
    durable = opened(tmp_path / "store")
    assert durable.tree.apps(ACCOUNT) == ()
    durable.close()


def test_another_process_sees_it_within_a_second(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "store"), opened(tmp_path / "store")
    assert ask(first, "PUT", "live", POLICY) == 204
    timer = second.server.get_timer()
    assert timer is not None
    settle(second.server.handle_timer(timer), timer)
    assert second.tree.policy(LIVE) == POLICY
    assert ask(second, "DELETE", "live") == 204
    settle(first.server.handle_timer(timer + 1), timer + 1)
    assert first.tree.policy(LIVE) is None
    first.close()
    second.close()


def test_a_policy_that_cannot_be_kept_is_not_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable = opened(tmp_path / "store")
    assert ask(durable, "PUT", "live", POLICY) == 204

    def fail(*_: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(SqlitePolicies, "save", fail)
        assert ask(durable, "PUT", "live", ResourcePolicy(weight=1)) == 503
        assert ask(durable, "PUT", "new", POLICY) == 503
        assert ask(durable, "DELETE", "live") == 503
    assert durable.tree.policy(LIVE) == POLICY
    assert "new" not in durable.tree.apps(ACCOUNT)
    durable.close()
