"""Costs as a server shows them, whichever resource they are asked of."""

import pytest
from alto_costs import HOPS, MATRIX, TREE, ask, endpoint_costs, filtered

from alto import ConfigurationError, _costtable
from alto._json import loads
from alto.costmap import CostMapResource
from alto.costoffers import CostOffer


@pytest.mark.parametrize("small", [0, 2000])
def test_a_pid_that_is_asked_for_twice_is_there_once(monkeypatch, small):
    """RFC 7285 section 11.3.2.3; the strict reader refuses a name that is twice in an object"""
    monkeypatch.setattr(_costtable, "_SMALL", small)
    asked = {"cost-type": TREE, "pids": {"srcs": ["PID1", "PID2", "PID1"], "dsts": ["PID1", "PID1"]}}
    assert loads(ask(filtered(), asked).body)["cost-map"] == {"PID1": {"PID1": 1}, "PID2": {"PID1": 5}}
    twice = {"srcs": ["ipv4:192.0.2.1"] * 2, "dsts": ["ipv4:192.0.2.9", "ipv4:192.0.2.9"]}
    answer = loads(ask(endpoint_costs(), {"cost-type": TREE, "endpoints": twice}).body)
    assert answer["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:192.0.2.9": 1}}


def test_what_is_private_is_not_told_by_a_public_resource():
    secret = CostMapResource("secret", "map", "num-hops", HOPS, MATRIX, is_private=True)
    offers = {"num-hops": CostOffer(HOPS, "secret")}
    for resource in (filtered(offers=offers), endpoint_costs(offers=offers)):
        with pytest.raises(ConfigurationError, match="'num-hops' would tell everybody what is in the private 'secret'"):
            ask(resource, {"cost-type": HOPS.to_json()}, also=[secret])
    assert ask(filtered(offers=offers, is_private=True), {"cost-type": HOPS.to_json()}, also=[secret])
