import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import ConfigurationError, DecodeError
from alto.findings import Findings, Level
from alto.metrics import (
    METRICS,
    check_cost_type,
    cost_source,
    is_statistic,
    metric_of,
    parse_cost_type,
    prefers_higher,
    split_metric,
    statistic_of,
)
from alto.types import CostType

names = st.text("abcp:.0159-_", max_size=34)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def read(tree, *, strict=True):
    findings = Findings(strict=strict)
    return parse_cost_type(tree, findings, "cost-type"), findings.items


@given(names)
def test_any_name_splits_and_joins_again(name):
    base, operator = split_metric(name)
    assert (base if operator is None else f"{base}:{operator}") == name


def test_the_dot_is_for_percentiles_in_metrics():
    assert split_metric("delay-ow:p99.9") == ("delay-ow", "p99.9")
    assert is_statistic("p99.9")
    assert not is_statistic("p99.")
    assert not is_statistic("p.9")
    for good in ("priv:x:p99.9", "delay-ow:p99.9", "priv:x"):
        assert read({"cost-mode": "numerical", "cost-metric": good})[0] is not None
    for bad in ("priv:a.b", "priv:a.b:p99.9", "delay-ow:x.y", "routingcost:p99.9"):
        with pytest.raises(DecodeError, match="cost-type/cost-metric"):
            read({"cost-mode": "numerical", "cost-metric": bad})
        with pytest.raises(ConfigurationError, match="cost-metric"):
            check_cost_type(CostType("numerical", bad))


def test_a_metric_of_33_characters_fails_and_one_of_32_does_not():
    assert read({"cost-mode": "numerical", "cost-metric": "priv:" + "x" * 27})[0] is not None
    with pytest.raises(DecodeError, match=r"cost-type/cost-metric: .* is no cost metric"):
        read({"cost-mode": "numerical", "cost-metric": "priv:" + "x" * 28})


@pytest.mark.parametrize("name", ["priv:a@b", "priv:a b", "priv:", "", "a/b", "h\u00f6ps", "priv:a\n"])
def test_a_metric_of_other_characters_fails(name):
    """RFC 7285 section 10.6"""
    with pytest.raises(DecodeError, match=r"cost-type/cost-metric: .* is no cost metric"):
        read({"cost-mode": "numerical", "cost-metric": name})


def test_bandwidth_is_in_bytes_and_better_when_there_is_more():
    for name in ("tput", "bw-residual", "bw-available"):
        assert METRICS[name].unit == "B/s"
        assert prefers_higher(name)
        assert prefers_higher(f"{name}:p5")
        assert not prefers_higher(f"{name}:stdvar")


def test_everything_else_is_better_when_it_is_less():
    for name in ("routingcost", "delay-ow:max", "lossrate", "hopcount", "priv:bandwidth", "shoesize"):
        assert not prefers_higher(name)


def test_the_default_statistic_is_the_median_unless_the_metric_says_otherwise():
    assert statistic_of("delay-rt") == "median"
    assert statistic_of("bw-residual") == statistic_of("bw-available") == "cur"
    assert statistic_of("new-metric") == "median"
    assert statistic_of("delay-rt:p5") == "p5"
    assert statistic_of("routingcost") is None


def test_private_metrics_are_nobody_elses():
    assert metric_of("priv:tput") is None
    assert split_metric("priv:tput") == ("priv:tput", None)
    assert split_metric("priv:x:min") == ("priv:x", "min")
    assert split_metric("priv:min") == ("priv:min", None)


def test_without_a_source_a_metric_is_an_estimation():
    assert cost_source(CostType("numerical", "delay-ow")) == "estimation"
    assert cost_source(CostType("numerical", "delay-ow", cost_context={})) == "estimation"
    assert cost_source(CostType("numerical", "delay-ow", cost_context={"cost-source": "sla"})) == "sla"


@pytest.mark.parametrize("source", ["nominal", "sla"])
def test_a_routingcost_that_is_no_estimation_is_rejected(source):
    tree = {"cost-mode": "numerical", "cost-metric": "routingcost", "cost-context": {"cost-source": source}}
    assert read(tree, strict=False)[0] is None
    with pytest.raises(DecodeError, match=r"RFC 9439 section 6\.3"):
        read(tree)


def test_nominal_throughput_and_an_sla_without_a_link_are_noted():
    nominal = {"cost-mode": "numerical", "cost-metric": "tput", "cost-context": {"cost-source": "nominal"}}
    agreed = {"cost-mode": "numerical", "cost-metric": "delay-ow", "cost-context": {"cost-source": "sla"}}
    for tree, section in ((nominal, "5.1.4"), (agreed, "3.1")):
        cost_type, [finding] = read(tree)
        assert cost_type is not None
        assert (finding.level, finding.section) == (Level.SHOULD, section)


@pytest.mark.parametrize(("operator", "common"), [("p0", "min"), ("p50", "median"), ("p100.0", "max")])
def test_the_common_form_of_a_percentile_is_recommended(operator, common):
    _, [finding] = read({"cost-mode": "numerical", "cost-metric": f"delay-ow:{operator}"})
    assert finding.level is Level.SHOULD
    assert common in finding.text


def test_a_metric_that_is_not_registered_is_noted_and_read():
    cost_type, [finding] = read({"cost-mode": "numerical", "cost-metric": "shoesize"})
    assert cost_type is not None
    assert finding.level is Level.NOTE


def test_a_description_is_a_string():
    tree = {"cost-mode": "numerical", "cost-metric": "routingcost"}
    assert read({**tree, "description": "in words"})[0].description == "in words"
    for wrong in (5, None, ["in", "words"], {}):
        with pytest.raises(DecodeError, match=r"cost-type/description: a string is due.*\(RFC 7285 section 10\.7\)"):
            read({**tree, "description": wrong})
        cost_type, _ = read({**tree, "description": wrong}, strict=False)
        assert (cost_type.key, cost_type.description) == (("numerical", "routingcost"), None)


def test_a_context_is_an_object_with_a_source():
    tree = {"cost-mode": "numerical", "cost-metric": "delay-ow"}
    for wrong in ("sla", None, []):
        with pytest.raises(DecodeError, match="cost-type/cost-context: an object is due"):
            read({**tree, "cost-context": wrong})
        cost_type, [_] = read({**tree, "cost-context": wrong}, strict=False)
        assert (cost_type.cost_context, cost_source(cost_type)) == (None, "estimation")
    with pytest.raises(DecodeError, match="cost-type/cost-context/cost-source: missing"):
        read({**tree, "cost-context": {}})


@given(json_values)
def test_any_json_is_a_cost_type_or_a_finding(tree):
    cost_type, items = read(tree, strict=False)
    assert cost_type is not None or items


@given(st.dictionaries(st.sampled_from(["cost-mode", "cost-metric", "cost-context", "description"]), json_values))
def test_any_members_are_a_cost_type_or_a_finding(tree):
    cost_type, items = read(tree, strict=False)
    assert cost_type is not None or items


def test_a_server_offers_no_cost_type_that_breaks_the_rules():
    check_cost_type(CostType("numerical", "delay-ow:p99.9"))
    for mode, metric in (("string", "routingcost"), ("numerical", "delay-ow:p101"), ("numerical", "routingcost:min")):
        with pytest.raises(ConfigurationError):
            check_cost_type(CostType(mode, metric))
    with pytest.raises(ConfigurationError, match=r"section 6\.3"):
        check_cost_type(CostType("numerical", "routingcost", cost_context={"cost-source": "sla"}))


def test_throughput_that_was_agreed_on_is_noted():
    tree = {"cost-mode": "numerical", "cost-metric": "tput:min", "cost-context": {"cost-source": "sla"}}
    _, [finding] = read(tree)
    assert (finding.level, finding.section) == (Level.SHOULD, "5.1.4")
