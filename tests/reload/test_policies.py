"""Who may write what, where (RFC 6940 section 7.3, RFC 7374 section 5)."""

import hashlib

import attrs
import pytest
from reload_storing import ALICE, ALICE_TOO, BOB, GONE, HOME, Peer, error, generations, item, of, signed, there

from reload._presentation import encode
from reload.contents import ErrorCode
from reload.destinations import NodeDestination
from reload.extensions import RedirServiceProvider
from reload.kinds import REDIR, TURN_SERVICE, AccessControl, Extension, Kind
from reload.policies import Policy, is_authorized, make_node_id_match, standard_policies
from reload.ports import Identity
from reload.storage_messages import ArrayEntry, DataModel, DataValue, DictionaryEntry, StoredDataValue

_NODE = bytes.fromhex("3ffffffffffffffffffffffffffffff0")
_OTHER = bytes.fromhex("c0000000000000000000000000000000")
_SIGNER = Identity(_NODE, (_OTHER, _NODE), "alice@example.org", b"certificate")
_VALUE = there(b"value")


def _hash(octets: bytes) -> bytes:
    return hashlib.sha1(octets).digest()[:16]


def _kind(policy: str, model: DataModel = DataModel.SINGLE, most: int = 0) -> Kind:
    return Kind(0xF0000001, model, policy, 9, 999, most)  # type: ignore[arg-type]


def _may(policy: str, at: bytes, value: StoredDataValue = _VALUE, signer: Identity = _SIGNER, most: int = 0) -> bool:
    return is_authorized(_kind(policy, most=most), at, value, signer)


def test_user_match_is_for_the_user_whose_name_hashes_to_the_resource() -> None:
    assert _may("USER-MATCH", _hash(b"alice@example.org"))
    assert not _may("USER-MATCH", _hash(b"bob@example.org"))
    assert not _may("USER-MATCH", _hash(_NODE))
    assert not _may("USER-MATCH", _hash(b""), signer=attrs.evolve(_SIGNER, user_name=None))


def test_a_user_name_is_hashed_as_utf_8() -> None:
    signer = attrs.evolve(_SIGNER, user_name="jos\xe9@example.org")
    assert _may("USER-MATCH", _hash(b"jos\xc3\xa9@example.org"), signer=signer)


def test_node_match_is_for_the_node_id_that_has_signed_not_for_another_of_the_certificate() -> None:
    assert _may("NODE-MATCH", _hash(_NODE))
    assert not _may("NODE-MATCH", _hash(_OTHER))
    assert not _may("NODE-MATCH", _hash(b"alice@example.org"))


def test_user_node_match_is_for_the_user_under_the_key_of_the_node_that_has_signed() -> None:
    at = _hash(b"alice@example.org")
    assert _may("USER-NODE-MATCH", at, item(_NODE, b""))
    assert not _may("USER-NODE-MATCH", at, item(_OTHER, b""))
    assert not _may("USER-NODE-MATCH", at, item(b"", b""))
    assert not _may("USER-NODE-MATCH", _hash(b"bob@example.org"), item(_NODE, b""))
    assert not _may("USER-NODE-MATCH", _hash(_NODE), item(_NODE, b""))


@pytest.mark.parametrize("policy", ["USER-NODE-MATCH", "NODE-ID-MATCH"])
@pytest.mark.parametrize("value", [there(b""), ArrayEntry(0, there(b""))])
def test_policies_for_dictionaries_let_nobody_write_anything_else(policy: str, value: StoredDataValue) -> None:
    assert not _may(policy, _hash(b"alice@example.org"), value)


def test_node_multiple_tries_every_i_from_1_to_the_maximum_in_one_octet() -> None:
    for i in range(256):
        assert _may("NODE-MULTIPLE", _hash(_NODE + bytes([i])), most=20) == (1 <= i <= 20)
    assert not _may("NODE-MULTIPLE", _hash(_OTHER + b"\x01"), most=20)
    assert not _may("NODE-MULTIPLE", _hash(_NODE + b"\x01"), most=0)
    assert TURN_SERVICE.max_node_multiple == 20


def test_a_policy_that_is_not_known_lets_nobody_write() -> None:
    assert not _may("OPEN", _hash(_NODE))
    assert set(standard_policies()) == set(AccessControl)


# -- NODE-ID-MATCH -----------------------------------------------------------------------------------------------------


def _provider(level: int, node: int, namespace: bytes = b"voice-mail") -> DictionaryEntry:
    record = RedirServiceProvider(0, (NodeDestination(_NODE),), namespace, level, node)
    return DictionaryEntry(_NODE, there(encode(record)))


def _tree_node(level: int, node: int, namespace: bytes = b"voice-mail") -> bytes:
    return _hash(namespace + level.to_bytes(2, "big") + node.to_bytes(2, "big"))


@pytest.mark.parametrize(("level", "node"), [(0, 0), (1, 2), (2, 24), (4, 2499)])
def test_node_id_match_is_for_tree_nodes_whose_intervals_have_the_node_id(level: int, node: int) -> None:
    """0x3ff... is a hair below a quarter of the identifier space; the branching factor is 10."""
    at = _tree_node(level, node)
    assert is_authorized(REDIR, at, _provider(level, node), _SIGNER)
    for near in (node - 1, node + 1):
        if near >= 0:
            assert not is_authorized(REDIR, _tree_node(level, near), _provider(level, near), _SIGNER)


def test_node_id_match_compares_the_tree_node_of_the_record_with_the_resource() -> None:
    for other in (_tree_node(1, 3), _tree_node(2, 2), _tree_node(1, 2, b"other"), HOME):
        assert not is_authorized(REDIR, other, _provider(1, 2), _SIGNER)


def test_node_id_match_wants_the_key_to_be_the_node_id_that_has_signed() -> None:
    other = attrs.evolve(_provider(1, 2), key=_OTHER)
    assert not is_authorized(REDIR, _tree_node(1, 2), other, _SIGNER)


def test_by_node_id_match_a_node_may_remove_what_is_under_its_key_wherever_it_is() -> None:
    assert is_authorized(REDIR, HOME, DictionaryEntry(_NODE, GONE), _SIGNER)
    assert not is_authorized(REDIR, HOME, DictionaryEntry(_OTHER, GONE), _SIGNER)


@pytest.mark.parametrize("octets", [b"", b"\0" * 5, b"\xff" * 40])
def test_node_id_match_refuses_what_is_no_record(octets: bytes) -> None:
    assert not is_authorized(REDIR, HOME, item(_NODE, octets), _SIGNER)


def test_a_level_deeper_than_node_ids_are_long_costs_nothing_and_is_refused() -> None:
    first = attrs.evolve(_SIGNER, node_id=bytes(16))
    entry = DictionaryEntry(bytes(16), _provider(65_535, 0).value)
    assert not is_authorized(REDIR, _tree_node(65_535, 0), entry, first)


def _factor(text: str) -> Kind:
    element = Extension("urn:ietf:params:xml:ns:p2p:redir", "branching-factor", text=text)
    return attrs.evolve(REDIR, extensions=(element,))


def test_node_id_match_takes_the_branching_factor_of_the_kind() -> None:
    assert is_authorized(_factor("2"), _tree_node(3, 1), _provider(3, 1), _SIGNER)
    assert not is_authorized(_factor("3"), _tree_node(3, 1), _provider(3, 1), _SIGNER)
    assert not is_authorized(_factor("none"), _tree_node(0, 0), _provider(0, 0), _SIGNER)


def test_every_policy_fits_the_port() -> None:
    policy: Policy = make_node_id_match()
    assert callable(policy)


# -- as storage asks them ----------------------------------------------------------------------------------------------


def test_somebody_elses_policy_can_be_plugged_in() -> None:
    kind = attrs.evolve(_kind("OPEN"), id=0xF0000009)
    value = of(kind, signed(kind, there(b"by Bob"), time=1, by=BOB))
    kinds = Peer().storage._rules.kinds.updated([kind])
    assert error(Peer(kinds=kinds).store(value, by=BOB)) == ErrorCode.FORBIDDEN
    peer = Peer(kinds=kinds, policies={**standard_policies(), "OPEN": lambda *_: True})
    generations(peer.store(value, by=BOB))


def test_the_value_check_of_a_usage_is_asked_with_the_value_and_its_signer() -> None:
    kind = _kind("USER-MATCH")
    asked: list[tuple[int, bytes, StoredDataValue, str | None]] = []

    def check(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
        asked.append((kind.id, at, value, signer.user_name))
        return isinstance(value, DataValue) and value.value.startswith(b"good")

    peer = Peer(checks={kind.id: check})
    assert error(peer.store(of(kind, signed(kind, there(b"bad"), time=1)))) == ErrorCode.FORBIDDEN
    generations(peer.store(of(kind, signed(kind, there(b"good"), time=1)), by=ALICE_TOO))
    bad = of(kind, signed(kind, there(b"bad"), time=2), generation=2)
    assert error(peer.replicate(bad)) == ErrorCode.FORBIDDEN
    assert asked == [(kind.id, HOME, there(text), "alice@example.org") for text in (b"bad", b"good", b"bad")]


def test_the_signer_of_the_request_must_conform_as_well_as_that_of_the_value() -> None:
    kind = _kind("USER-MATCH")
    peer = Peer()
    value = of(kind, signed(kind, there(b""), time=1, by=ALICE))
    assert error(peer.store(value, by=BOB)) == ErrorCode.FORBIDDEN
    generations(peer.store(value, by=ALICE_TOO))
