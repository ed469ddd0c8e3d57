"""What other RFCs add to a Configuration Document."""

import attrs
import pytest
from reload_configurations import configuration
from reload_identities import node_id

from reload.configuration_extensions import (
    DIAGNOSTICS,
    REDIR,
    ROUTE_MODE,
    SELF_TUNING,
    SIP,
    DomainRestrictions,
    branching_factor,
    diagnostic_access,
    domain_restrictions,
    number_of_peers_to_probe,
    route_mode,
)
from reload.configuration_update import Capabilities
from reload.errors import DecodeError
from reload.kinds import REGISTERED, Extension


def test_extensions_of_other_rfcs_have_their_defaults() -> None:
    plain = configuration()
    assert route_mode(plain) is None
    assert number_of_peers_to_probe(plain) == 4
    assert branching_factor(REGISTERED["REDIR"], plain) == 10
    assert diagnostic_access(plain) == {}
    assert domain_restrictions(REGISTERED["SIP-REGISTRATION"], plain) is None


def test_extensions_of_other_rfcs_are_read() -> None:
    nodes = tuple(Extension(DIAGNOSTICS, "access-node", {}, node_id(number).hex()) for number in (1, 2))
    found = configuration(
        extensions=(
            Extension(ROUTE_MODE, "mode", {}, "RPR"),
            Extension(SELF_TUNING, "number-of-peers-to-probe", {}, "7"),
            Extension(REDIR, "branching-factor", {}, "3"),
            Extension(DIAGNOSTICS, "diagnostic-kind", {"kind": "000C"}, "", nodes),
        )
    )
    assert route_mode(found) == "RPR"
    assert number_of_peers_to_probe(found) == 7
    assert branching_factor(REGISTERED["REDIR"], found) == 3
    assert diagnostic_access(found) == {12: frozenset({node_id(1), node_id(2)})}


@pytest.mark.parametrize("namespace", [SELF_TUNING, DIAGNOSTICS, REDIR, ROUTE_MODE, SIP])
def test_an_overlay_whose_configuration_makes_an_extension_mandatory_can_be_joined(namespace: str) -> None:
    assert Capabilities().obstacles(configuration(mandatory_extensions=(namespace,))) == ()
    assert len(Capabilities(extensions=frozenset()).obstacles(configuration(mandatory_extensions=(namespace,)))) == 1


def test_the_branching_factor_may_stand_in_the_kind() -> None:
    kind = attrs.evolve(REGISTERED["REDIR"], extensions=(Extension(REDIR, "branching-factor", {}, "4"),))
    assert branching_factor(kind) == 4


@pytest.mark.parametrize("name", ["domain-restriction", "domain-restrictions"])
def test_domain_restrictions_are_read_under_both_names(name: str) -> None:
    patterns = (Extension(SIP, "pattern", {}, r".*\.my\.example"), Extension("urn:x", "pattern", {}, "no"))
    kind = attrs.evolve(
        REGISTERED["SIP-REGISTRATION"], extensions=(Extension(SIP, name, {"enable": "1"}, "", patterns),)
    )
    assert domain_restrictions(kind) == DomainRestrictions(True, (r".*\.my\.example",))
    bare = attrs.evolve(kind, extensions=(Extension(SIP, name),))
    assert domain_restrictions(bare) == DomainRestrictions(False, ())


@pytest.mark.parametrize(
    "extensions",
    [
        (Extension(ROUTE_MODE, "mode", {}, "SRR"),),
        (Extension(ROUTE_MODE, "mode", {}, "DRR"),) * 2,
        (Extension(SELF_TUNING, "number-of-peers-to-probe", {}, "many"),),
        (Extension(DIAGNOSTICS, "diagnostic-kind", {"kind": "x"}),),
        (Extension(DIAGNOSTICS, "diagnostic-kind", {"kind": "1"}, "", (Extension(DIAGNOSTICS, "access-node"),)),),
    ],
)
def test_extensions_that_say_nothing_that_they_may_are_refused(extensions: tuple[Extension, ...]) -> None:
    found = configuration(extensions=extensions)
    with pytest.raises(DecodeError):
        (route_mode(found), number_of_peers_to_probe(found), diagnostic_access(found))
