"""What a user may set about the storage of a node."""

from collections.abc import Callable

import attrs
import pytest
from reload_configurations import PRIVATE
from reload_overlay import Host, MemoryOverlay, connect_all, in_force

from reload.configuration_update import Accepted
from reload.contents import ErrorCode
from reload.errors import DecodeError, SecurityError
from reload.kinds import Kind
from reload.null_security import NullVerifier
from reload.operations import Failed, Fetch, Fetched, Find, Found, NewValue, Operation, Result, Store, Stored, Wanted
from reload.ports import Identity
from reload.quotas import Quotas
from reload.reading import content
from reload.storage_messages import DataValue, SingleSpecifier, StoredDataValue
from reload.storage_settings import StorageSettings

AT = b"\x77" * 16
STORE = Store(AT, (NewValue(PRIVATE.id, DataValue(True, b"v"), 1000),))
FETCH = Fetch(AT, (Wanted(PRIVATE.id, SingleSpecifier()),))


def allow(allowed: bool) -> Callable[[Kind, bytes, StoredDataValue, Identity], bool]:
    return lambda kind, at, value, signer: allowed


ANYBODY = {"USER-MATCH": allow(True)}


def pair(one: StorageSettings | None, other: StorageSettings | None) -> tuple[MemoryOverlay, Host, Host]:
    """Two peers, the second of which is responsible for everything; the first asks."""
    overlay = MemoryOverlay()
    hosts = [overlay.add(1, storage_settings=one), overlay.add(2, storage_settings=other)]
    connect_all(overlay, hosts)
    for host in hosts:
        host.topology.peers = [hosts[1].node_id]
    return overlay, *hosts


def ask(overlay: MemoryOverlay, host: Host, operation: Operation) -> Result:
    handle = host.node.perform(operation, overlay.now)
    overlay.settle(5)
    return host.result(handle)  # type: ignore[return-value]


def error_of(result: Result) -> int:
    assert isinstance(result, Failed)
    assert result.error is not None
    return result.error.error_code


def values(result: Result) -> list[bytes]:
    assert isinstance(result, Fetched)
    return [content(each.data.value).value for each in result.kinds[PRIVATE.id].values]


def test_a_policy_of_ones_own_lets_others_write_and_is_believed_when_values_are_fetched() -> None:
    overlay, one, _ = pair(None, None)
    assert error_of(ask(overlay, one, STORE)) == ErrorCode.FORBIDDEN
    overlay, one, _ = pair(None, StorageSettings(policies=ANYBODY))
    assert isinstance(ask(overlay, one, STORE), Stored)
    assert values(ask(overlay, one, FETCH)) == []
    overlay, one, _ = pair(StorageSettings(policies=ANYBODY), StorageSettings(policies=ANYBODY))
    assert isinstance(ask(overlay, one, STORE), Stored)
    assert values(ask(overlay, one, FETCH)) == [b"v"]


def test_a_check_of_ones_own_is_asked_besides_the_policy() -> None:
    strict = StorageSettings(policies=ANYBODY, checks={PRIVATE.id: allow(False)})
    overlay, one, _ = pair(None, strict)
    assert error_of(ask(overlay, one, STORE)) == ErrorCode.FORBIDDEN


def test_policies_and_checks_of_ones_own_hold_under_a_new_configuration_too() -> None:
    settings = StorageSettings(policies=ANYBODY)
    overlay, one, other = pair(settings, settings)
    for host in (one, other):
        host.node._membership.on_accepted(Accepted(host.node.in_force), overlay.now)
    assert isinstance(ask(overlay, one, STORE), Stored)
    assert values(ask(overlay, one, FETCH)) == [b"v"]


def test_a_node_holds_no_more_than_its_quotas_allow() -> None:
    overlay, one, _ = pair(None, StorageSettings(policies=ANYBODY, quotas=Quotas(max_octets=1000)))
    assert error_of(ask(overlay, one, STORE)) == ErrorCode.DATA_TOO_LARGE


@pytest.mark.parametrize(("hidden", "expected"), [(frozenset(), {PRIVATE.id: AT}), (frozenset({PRIVATE.id}), {})])
def test_a_find_finds_nothing_of_kinds_that_are_hidden(hidden: frozenset[int], expected: dict[int, bytes]) -> None:
    overlay, one, _ = pair(None, StorageSettings(policies=ANYBODY, hidden_kinds=hidden))
    ask(overlay, one, STORE)
    assert ask(overlay, one, Find(AT, (PRIVATE.id,))) == Found(expected)


def test_a_node_goes_on_with_what_it_had_when_it_ended() -> None:
    settings = StorageSettings(policies=ANYBODY)
    overlay, one, other = pair(settings, settings)
    ask(overlay, one, STORE)
    snapshot = other.node.storage.snapshot(overlay.now)
    overlay, one, other = pair(settings, attrs.evolve(settings, snapshot=snapshot))
    assert values(ask(overlay, one, FETCH)) == [b"v"]
    overlay.settle(1000)
    assert values(ask(overlay, one, FETCH)) == [b""]


class Revoking(NullVerifier):
    """Believes all but one node."""

    def __init__(self, node_id: bytes) -> None:
        self.revoked = node_id

    def identify(self, certificate: bytes, *rest: object) -> Identity:  # type: ignore[override]
        found = super().identify(certificate, *rest)  # type: ignore[arg-type]
        if found.node_id == self.revoked:
            raise SecurityError("revoked")
        return found


def test_values_of_who_is_revoked_by_a_new_configuration_are_gone() -> None:
    settings = StorageSettings(policies=ANYBODY)
    overlay, one, other = pair(settings, settings)
    ask(overlay, one, STORE)
    assert len(other.node.storage) == 1
    before = other.node.in_force
    newer = attrs.evolve(before.configuration, sequence=before.configuration.sequence + 1)
    revoked = attrs.evolve(before, configuration=newer, verifier=Revoking(one.node_id))
    other.node._membership.on_accepted(Accepted(revoked), overlay.now)
    assert len(other.node.storage) == 0


def test_of_a_snapshot_nothing_is_taken_that_nobody_may_use_any_more() -> None:
    settings = StorageSettings(policies=ANYBODY)
    overlay, one, other = pair(settings, settings)
    ask(overlay, one, STORE)
    snapshot = other.node.storage.snapshot(overlay.now)
    strict = attrs.evolve(in_force(), verifier=Revoking(one.node_id))
    again = MemoryOverlay().add(2, in_force=strict, storage_settings=attrs.evolve(settings, snapshot=snapshot))
    assert len(again.node.storage) == 0


def test_octets_that_are_no_snapshot_make_no_node() -> None:
    with pytest.raises(DecodeError):
        MemoryOverlay().add(1, storage_settings=StorageSettings(snapshot=b"no snapshot"))
