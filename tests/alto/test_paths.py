"""Names of elements, new for each answer and the same on every path in it (RFC 9275 sections 9.4 and 11)."""

from typing import Any

import pytest

from alto import paths
from alto._json import canonical
from alto.paths import MAX_RESERVABLE_BANDWIDTH, AbstractNetworkElement, EphemeralNames


def test_an_element_with_other_properties_is_another_one() -> None:
    names = EphemeralNames(b"secret", [MAX_RESERVABLE_BANDWIDTH])
    element = AbstractNetworkElement("L1", {MAX_RESERVABLE_BANDWIDTH: 1, "cpu": "2"})
    same = AbstractNetworkElement("L1", {MAX_RESERVABLE_BANDWIDTH: 1, "cpu": "3"})
    other = AbstractNetworkElement("L1", {MAX_RESERVABLE_BANDWIDTH: 2})
    assert names.name(element) == names.name(same) != names.name(other)
    assert names.properties[names.name(other)] == {MAX_RESERVABLE_BANDWIDTH: 2}
    assert len(names.properties) == 2


def test_every_octet_of_the_secret_counts() -> None:
    element = AbstractNetworkElement("L1")
    secrets = [b"x" * at + b"y" + b"x" * (63 - at) for at in range(64)]
    assert len({EphemeralNames(secret, []).name(element) for secret in secrets}) == 64


def test_an_element_is_named_once_however_many_paths_go_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million elements may be on the paths of one answer."""
    made = 0

    def counted(value: Any) -> bytes:
        nonlocal made
        made += 1
        return canonical(value)

    monkeypatch.setattr(paths, "canonical", counted)
    names = EphemeralNames(b"secret", [MAX_RESERVABLE_BANDWIDTH])
    one, other = AbstractNetworkElement("L1", {MAX_RESERVABLE_BANDWIDTH: 1}), AbstractNetworkElement("L2")
    first = names.path([one, other] * 100)
    assert first == names.path([AbstractNetworkElement("L1", {MAX_RESERVABLE_BANDWIDTH: 1}), other] * 100)
    assert (len(set(first)), made) == (2, 2)
