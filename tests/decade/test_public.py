"""Who may read without a token what a node pays for."""

from ipaddress import ip_network

import pytest
from decade_server import HELLO

from decade.ledger import MemoryQuotas
from decade.messages import Access, ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import Row
from decade.public import Openness, choose, openness
from decade.settings import Extension

PRIVATE, RESTRICTED, PUBLIC = Access
NET = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


def tree(provider=None, account=None, app=None, **prefixes):
    def policy(access, level):
        return ResourcePolicy(weight=1, access=access, prefixes=prefixes.get(f"at{level}"))

    made = PolicyTree(MemoryQuotas(), policy(provider, 0), extensions={Extension.PUBLIC})
    made.put(("alice",), policy(account, 1))
    made.put(("alice", "live"), policy(app, 2))
    return made


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ((None, None, None), PRIVATE),
        ((None, None, PUBLIC), PUBLIC),
        ((None, PUBLIC, None), PUBLIC),
        ((None, PUBLIC, PRIVATE), PRIVATE),
        ((None, PRIVATE, PUBLIC), PRIVATE),
        ((PUBLIC, None, None), PRIVATE),
        ((PUBLIC, PUBLIC, None), PUBLIC),
        ((PRIVATE, PUBLIC, PUBLIC), PRIVATE),
        ((None, RESTRICTED, PUBLIC), RESTRICTED),
        ((None, PUBLIC, RESTRICTED), RESTRICTED),
        ((RESTRICTED, None, PUBLIC), RESTRICTED),
    ],
)
def test_no_node_is_more_open_than_one_above_allows_and_the_provider_opens_nothing(said, found):
    assert openness(tree(*said), ("alice", "live")).access is found


def test_a_node_that_is_gone_is_private():
    assert openness(tree(), ("bob",)) == Openness(PRIVATE)
    assert openness(tree(account=PUBLIC), ("alice", "gone")) == Openness(PRIVATE)


@pytest.mark.parametrize(
    ("peer", "is_for"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::1%eth0", True),
        ("198.51.100.1", False),
        ("::ffff:198.51.100.1", False),
        ("2001:db9::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_restricted_is_for_addresses_in_a_prefix(peer, is_for):
    found = openness(tree(account=RESTRICTED, at1=NET), ("alice", "live"))
    assert found.is_for(peer) == is_for
    assert Openness(PUBLIC).is_for(peer)
    assert not Openness(PRIVATE).is_for(peer)


def test_every_node_that_restricts_has_to_agree():
    made = tree(account=RESTRICTED, app=RESTRICTED, at1=NET, at2=(ip_network("192.0.2.0/28"),))
    assert openness(made, ("alice", "live")).is_for("192.0.2.1")
    assert not openness(made, ("alice", "live")).is_for("192.0.2.16")
    assert openness(made, ("alice",)).is_for("192.0.2.16")


def test_restricted_to_no_network_is_for_nobody():
    assert not openness(tree(account=RESTRICTED), ("alice",)).is_for("192.0.2.1")


def test_the_first_row_that_is_open_is_served():
    made = tree(app=PUBLIC)

    def row(payer, expires=None):
        return Row(account=payer[0], name=HELLO, size=1, payer=payer, created=1, expires=expires)

    rows = [row(("bob",)), row(("alice",)), row(("alice", "live"), 10), row(("alice", "live"), 99)]
    found = choose(rows, made, "192.0.2.1", 10)
    assert found == (rows[3], Openness(PUBLIC))
    assert choose(rows[:3], made, "192.0.2.1", 10) is None
