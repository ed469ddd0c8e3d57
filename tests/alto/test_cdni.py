"""CDNI advertisements as values, as a client reads them, and what is asked for (RFC 9241 sections 3, 4 and 5)."""

from typing import Any

import pytest
from alto_properties import example
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.cdni import Advertisement, CdniCapability, Footprint, cdni_filter, parse_cdni
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.types import VTag


def delivery(*protocols: str) -> CdniCapability:
    return CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": [*protocols]})


def document(*listed: Any, **meta: Any) -> dict[str, Any]:
    meta = {"vtag": {"resource-id": "cdni", "tag": "1"}, **meta}
    return {"meta": meta, "cdni-advertisement": {"capabilities-with-footprints": [*listed]}}


def read(tree: Any, of: ResourceEntry | None = None) -> tuple[list[Advertisement], list[str]]:
    findings = Findings(strict=False)
    parsed = parse_cdni(tree, findings, of)
    return [*parsed.advertisements], [f"{item.level} {item.path} {item.rfc} {item.section}" for item in findings.items]


AT = "cdni-advertisement/capabilities-with-footprints"
HTTP = delivery("http/1.1").to_json()


@pytest.mark.parametrize(("name", "count"), [("rfc9241-s3.7.2-01", 3), ("rfc9241-s5.7.1-02", 1)])
def test_the_examples_are_read_strictly_and_written_as_printed(name: str, count: int) -> None:
    findings = Findings()
    parsed = parse_cdni(example(name), findings)
    assert (len(parsed.advertisements), findings.items) == (count, [])
    assert parsed.vtag is not None
    assert parsed.vtag.tag == "da65eca2eb7a10ce8b059740b0b2e3f8eb1d4785"
    listed = example(name)["cdni-advertisement"]["capabilities-with-footprints"]
    assert [advertisement.to_json() for advertisement in parsed.advertisements] == listed


def test_an_example_without_its_version_and_with_bare_lists_is_forgiven() -> None:
    """Trap 21: RFC 9241 section 4.2.2 has no `vtag`, and values in another form than everywhere else."""
    with pytest.raises(DecodeError, match="meta/vtag: missing"):
        parse_cdni(example("rfc9241-s4.2.2-01"), Findings())
    findings = Findings(strict=False)
    parsed = parse_cdni(example("rfc9241-s4.2.2-01"), findings)
    assert [(item.path, item.section) for item in findings.items] == [
        ("meta/vtag", "3.6"),
        (f"{AT}/capability-value", "3.6"),
        (f"{AT}/capability-value", "3.6"),
    ]
    assert parsed.dependent_vtags == (VTag("my-eu-netmap", "3ee2cb7e8d63d9fab71b9b34cbf764436315542e"),)
    assert [advertisement.footprints for advertisement in parsed.advertisements] == [
        (Footprint("altopid", ("south-france",)),),
        (Footprint("altopid", ("germany", "south-france")),),
    ]


@pytest.mark.parametrize(
    "value", [["http/1.1"], {}, "http/1.1", {"delivery-protocols": "http/1.1"}, {"delivery-protocols": [1]}]
)
def test_a_value_in_another_form_than_rfc_9241_shows_is_noted_and_taken(value: Any) -> None:
    """What may stand in it RFC 8008 says; section 4.2.2 itself has a bare array."""
    tree = {"capability-type": "FCI.DeliveryProtocol", "capability-value": value}
    findings = Findings()
    (advertisement,) = parse_cdni(document(tree), findings).advertisements
    assert advertisement.to_json() == tree
    assert [f"{item.level} {item.path}" for item in findings.items] == [f"should {AT}/capability-value"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("FCI.RedirectionMode", "HTTP-I"),
        ("FCI.RedirectionMode", {"redirection-modes": ["DNS-I", "HTTP-I"]}),
        ("FCI.Logging", {"record-type": "cdni_http_request_v1", "fields": ["s-ccid"]}),
        ("FCI.Logging", {"fields": ["s-ccid"]}),
        ("FCI.Metadata", {"metadata": []}),
        ("FCI.Metadata", ["MI.SourceMetadata"]),
        ("FCI.New", 0),
        ("FCI.New", False),
        ("FCI.DeliveryProtocol", {"delivery-protocols": ["http/1.1"], "more": {}}),
        ("FCI.AcquisitionProtocol", {"acquisition-protocols": []}),
    ],
)
def test_a_value_of_which_rfc_9241_says_nothing_is_taken_asked_for_and_found(kind: str, value: Any) -> None:
    capability = CdniCapability(kind, value)
    findings = Findings()
    (advertisement,) = parse_cdni(document(capability.to_json()), findings).advertisements
    assert (advertisement.capability, findings.items) == (capability, [])
    assert cdni_filter([capability]) == {"cdni-capabilities": [capability.to_json()]}
    assert has(capability, capability)


@pytest.mark.parametrize("footprints", [{"footprints": None}, {"footprints": []}, {}])
def test_null_empty_and_absent_footprints_mean_everywhere(footprints: Any) -> None:
    """Section 3.6."""
    for findings in (Findings(), Findings(strict=False)):
        (advertisement,) = parse_cdni(document({**HTTP, **footprints}), findings).advertisements
        assert (advertisement.is_global, findings.items) == (True, [])
        assert "footprints" not in advertisement.to_json()


def test_footprints_that_are_all_of_no_use_do_not_mean_everywhere() -> None:
    broken = {"footprint-type": "ipv4cidr", "footprint-value": ["nowhere"]}
    assert read(document({**HTTP, "footprints": [broken]})) == ([], [f"must {AT}/footprints/footprint-value 9241 3.6"])


def test_footprints_that_are_there_twice_count_once() -> None:
    """Section 3.6."""
    twice = {"footprint-type": "asn", "footprint-value": ["as64496"]}
    (advertisement,) = parse_cdni(document({**HTTP, "footprints": [twice, twice]}), Findings()).advertisements
    assert advertisement.footprints == (Footprint("asn", ("as64496",)),)


def test_an_empty_advertisement_offers_nothing() -> None:
    assert parse_cdni(document(), Findings()).advertisements == ()


@pytest.mark.parametrize(
    ("tree", "noted"),
    [
        (document(7), [f"must {AT} 9241 3.6"]),
        (document({"capability-value": 1}), [f"must {AT}/capability-type 9241 3.6"]),
        (document({"capability-type": 7, "capability-value": 1}), [f"must {AT}/capability-type 9241 3.6"]),
        (document({"capability-type": "X"}), [f"must {AT}/capability-value 9241 3.6"]),
        (document({"capability-type": "X", "capability-value": None}), [f"must {AT}/capability-value 9241 3.6"]),
        (document({**HTTP, "footprints": {}}), [f"must {AT}/footprints 9241 3.6"]),
        (document({**HTTP, "footprints": [1]}), [f"must {AT}/footprints 9241 3.6"]),
        (
            document({**HTTP, "footprints": [{}]}),
            [f"must {AT}/footprints/footprint-{name} 9241 3.6" for name in ("type", "value")],
        ),
        (
            document({**HTTP, "footprints": [{"footprint-type": "asn", "footprint-value": []}]}),
            [f"must {AT}/footprints/footprint-value 9241 3.6"],
        ),
        (
            document({**HTTP, "footprints": [{"footprint-type": "asn", "footprint-value": [7, "as1"]}]}),
            [f"must {AT}/footprints/footprint-value 9241 3.6"],
        ),
        (
            document({**HTTP, "footprints": [{"footprint-type": "altopid", "footprint-value": ["P"]}]}),
            ["must meta/dependent-vtags 9241 4.1"],
        ),
        ({"meta": {}, "cdni-advertisement": {"capabilities-with-footprints": []}}, ["must meta/vtag 9241 3.6"]),
    ],
)
def test_each_deviation_is_named_by_its_clause(tree: Any, noted: list[str]) -> None:
    assert read(tree)[1] == noted
    with pytest.raises(DecodeError):
        parse_cdni(tree, Findings())


def test_what_the_ird_says_is_used_has_its_version_in_the_answer() -> None:
    of = ResourceEntry("cdni", "http://a/", media.CDNI, uses=("net",))
    assert read(document(), of)[1] == ["must meta/dependent-vtags 9241 3.6"]
    named = {"dependent-vtags": [{"resource-id": "net", "tag": "1"}]}
    assert read(document(**named), of)[1] == []
    pids = {**HTTP, "footprints": [{"footprint-type": "altopid", "footprint-value": ["P"]}]}
    assert read(document(pids, **named), of)[1] == []
    unused = ResourceEntry("cdni", "http://a/", media.CDNI)
    assert read(document(pids, **named), unused)[1] == [f"must {AT} 9241 4.1"]


@pytest.mark.parametrize("tree", [None, [], {}, {"meta": {}}, {"meta": {}, "cdni-advertisement": []}, {
    "meta": {}, "cdni-advertisement": {"capabilities-with-footprints": {}}}])  # fmt: skip
def test_without_the_array_there_is_nothing_to_read(tree: Any) -> None:
    for strict in (True, False):
        with pytest.raises(DecodeError):
            parse_cdni(tree, Findings(strict=strict))


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["ipv4cidr", "10.0.0.0/8"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["capability-type", "capability-value", "footprints", "footprint-type", "footprint-value", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JUNK, st.lists(_JUNK, max_size=3))
def test_a_lenient_reader_takes_whatever_is_in_an_advertisement(meta: Any, listed: list[Any]) -> None:
    tree = {"meta": meta, "cdni-advertisement": {"capabilities-with-footprints": listed}}
    for advertisement in parse_cdni(tree, Findings(strict=False)).advertisements:
        assert advertisement == advertisement
        assert advertisement.capability.parts


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ipv4cidr", "192.0.2.0"),
        ("ipv4cidr", "192.0.2.1/24"),
        ("ipv4cidr", "2001:db8::/32"),
        ("ipv6cidr", "192.0.2.0/24"),
        ("ipv6cidr", "2001:db8::"),
        ("asn", "64496"),
        ("asn", "as064496"),
        ("countrycode", "US"),
        ("altopid", "a.b"),
    ],
)
def test_a_footprint_value_has_the_form_of_its_type(kind: str, value: str) -> None:
    with pytest.raises(ConfigurationError):
        Footprint(kind, (value,))


def test_footprint_types_that_are_not_known_here_are_taken() -> None:
    assert Footprint("subdivisioncode", ["us-nj"]).to_json() == {
        "footprint-type": "subdivisioncode",
        "footprint-value": ["us-nj"],
    }
    with pytest.raises(ConfigurationError, match="needs a value"):
        Footprint("subdivisioncode", ())


def has(whole: CdniCapability, asked: CdniCapability) -> bool:
    return asked.parts <= whole.parts


def test_the_order_of_a_list_says_nothing() -> None:
    """Section 5.6: semantically."""
    assert has(delivery("https/1.1", "http/1.1"), delivery("http/1.1", "https/1.1"))
    assert has(delivery("https/1.1", "http/1.1"), delivery("https/1.1"))
    assert has(delivery("https/1.1"), delivery("https/1.1", "https/1.1"))
    assert not has(delivery("http/1.1"), delivery("http/1.1", "https/1.1"))
    assert has(delivery("http/1.1"), delivery())


def test_the_type_has_to_be_the_same() -> None:
    acquisition = CdniCapability("FCI.AcquisitionProtocol", {"acquisition-protocols": ["http/1.1"]})
    assert not has(acquisition, delivery("http/1.1"))
    assert not has(acquisition, delivery())


def test_only_mandatory_members_count() -> None:
    one = CdniCapability("FCI.Logging", {"record-type": "r1", "fields": ["a"]})
    other = CdniCapability("FCI.Logging", {"record-type": "r1", "fields": ["b"]})
    third = CdniCapability("FCI.Logging", {"record-type": "r2", "fields": ["a"]})
    assert has(one, other)
    assert not has(one, third)
    assert has(delivery("http/1.1"), CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": [], "more": 1}))


def test_where_a_mandatory_member_is_missing_every_member_counts() -> None:
    one, other = (CdniCapability("FCI.Logging", {"fields": fields}) for fields in (["a", "b"], ["a"]))
    assert has(one, other)
    assert not has(other, one)


def test_in_a_type_that_is_not_known_every_member_counts() -> None:
    whole = CdniCapability("X", {"a": {"b": [1, {"c": 2}], "d": True}, "e": "f"})
    for value in ({}, {"a": {"b": [{"c": 2}]}}, {"a": {"d": True}, "e": "f"}, {"a": {"b": []}}):
        assert has(whole, CdniCapability("X", value))
    for value in ({"a": {"d": 1}}, {"a": {"b": [2]}}, {"e": ["f"]}, {"g": 1}, "f", ["f"], {"a": {"b": [{"c": 3}]}}):
        assert not has(whole, CdniCapability("X", value))


@pytest.mark.parametrize(
    "capability",
    [
        CdniCapability("FCI.DeliveryProtocol", ["https/1.1"]),
        CdniCapability("FCI.DeliveryProtocol", {"acquisition-protocols": ["https/1.1"]}),
        CdniCapability("FCI.AcquisitionProtocol", {"acquisition-protocols": "https/1.1"}),
        CdniCapability("FCI.DeliveryProtocol", {"delivery-protocols": [None]}),
        CdniCapability("FCI.RedirectionMode", None),
        CdniCapability("X", None),
    ],
)
def test_a_value_that_does_not_go_with_its_type_is_not_asked(capability: CdniCapability) -> None:
    assert not capability.is_consistent
    with pytest.raises(ConfigurationError):
        cdni_filter([capability])


def test_a_filter_names_each_capability_once() -> None:
    assert cdni_filter([]) == {"cdni-capabilities": []}
    assert cdni_filter([delivery("https/1.1"), delivery("https/1.1")]) == example("rfc9241-s5.7.1-01")
