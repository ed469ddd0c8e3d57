"""CDNI advertisements of a server, and footprints as entities (RFC 9241 sections 3 to 6)."""

from typing import Any

import pytest
from alto_properties import ask, example, refusal
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from alto import cdniresources, media
from alto._json import loads
from alto.auth import DigestAuthenticator, DigestClient
from alto.cdni import Advertisement, CdniCapability, Footprint, parse_cdni
from alto.cdniresources import CdniResource, FilteredCdniResource, footprint_capabilities
from alto.directory import Directory
from alto.entities import format_key
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.findings import Findings
from alto.http import Request, Response
from alto.ird import ResourceEntry
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.propertymap import parse_property_map
from alto.propertyresources import FilteredPropertyMapResource, PropertyMapResource, PropertySource
from alto.server import AltoServer

VALUE, TYPE, MISSING = ErrorCode.INVALID_FIELD_VALUE, ErrorCode.INVALID_FIELD_TYPE, ErrorCode.MISSING_FIELD
PRINTED = parse_cdni(example("rfc9241-s3.7.2-01"), Findings()).advertisements
# The map of section 4.2.1, with what makes it complete.
EUROPE = NetworkMapResource(
    "my-eu-netmap",
    NetworkMap(
        {
            "south-france": {"ipv4": ["192.0.2.0/24", "198.51.100.0/25"], "ipv6": ["2001:db8::/32"]},
            "germany": {"ipv4": ["203.0.113.0/24"]},
        },
        default_pid="elsewhere",
    ),
)
DEFAULT = NetworkMapResource("my-default-networkmap", EUROPE.network_map)


def protocols(kind: str, *names: str) -> CdniCapability:
    member = {"FCI.DeliveryProtocol": "delivery-protocols", "FCI.AcquisitionProtocol": "acquisition-protocols"}[kind]
    return CdniCapability(kind, {member: [*names]})


HTTPS = protocols("FCI.DeliveryProtocol", "https/1.1")
WHOLE = CdniResource("my-default-cdnifci", PRINTED)
WITH_PIDS = CdniResource(
    "my-cdnifci-with-pid-footprints",
    [
        Advertisement(HTTPS, (Footprint("altopid", ("south-france",)),)),
        Advertisement(
            protocols("FCI.AcquisitionProtocol", "https/1.1"), (Footprint("altopid", ("germany", "south-france")),)
        ),
    ],
    network_map="my-eu-netmap",
)
FILTERED = FilteredCdniResource("my-filtered-cdnifci", "my-default-cdnifci")
SERVER = Directory([EUROPE, DEFAULT, WHOLE, WITH_PIDS, FILTERED])


def test_the_ird_entries_are_those_of_the_example() -> None:
    """Section 3.7.1: `uses` is there only where there is a dependency (section 3.5)."""
    printed = example("rfc9241-s3.7.1-01")["resources"]
    for resource in (WHOLE, WITH_PIDS, FILTERED):
        of = printed[resource.id]
        assert (resource.media_type, resource.accepts) == (of["media-type"], of.get("accepts"))
        assert list(resource.uses) == of.get("uses", [])
        assert resource.capabilities(SERVER) == {}


def test_the_whole_advertisement_is_answered_as_printed() -> None:
    document = ask(SERVER, WHOLE.id)
    assert document.media_type == media.CDNI
    assert document.tree["cdni-advertisement"] == example("rfc9241-s3.7.2-01")["cdni-advertisement"]
    assert document.tree["meta"] == {"vtag": WHOLE.version(SERVER).to_json()}
    assert document.vtag == WHOLE.version(SERVER)


def test_pids_as_footprints_bring_the_version_of_their_network_map() -> None:
    """Section 4.1; the example of section 4.2.2 forgets its own `vtag` (trap 21), which section 3.6 asks for."""
    tree = ask(SERVER, WITH_PIDS.id).tree
    assert tree["meta"] == {"vtag": WITH_PIDS.version(SERVER).to_json(), "dependent-vtags": [EUROPE.vtag.to_json()]}
    of = ResourceEntry(WITH_PIDS.id, "http://a/", media.CDNI, uses=WITH_PIDS.uses)
    findings = Findings()
    assert parse_cdni(tree, findings, of).advertisements == WITH_PIDS.advertisements
    assert findings.items == []
    changed = SERVER.replacing(NetworkMapResource(EUROPE.id, NetworkMap({"all": {"ipv4": ["0.0.0.0/0"]}})))
    assert WITH_PIDS.depends_on(SERVER) != WITH_PIDS.depends_on(changed)
    assert ask(changed, WITH_PIDS.id).vtag != WITH_PIDS.version(SERVER)


def test_the_filter_of_the_example_finds_the_second_object() -> None:
    """Section 5.7.1; its version is that of the whole (section 5.6), whose resource ID we send with it."""
    document = ask(SERVER, FILTERED.id, example("rfc9241-s5.7.1-01"))
    assert document.tree["cdni-advertisement"] == example("rfc9241-s5.7.1-02")["cdni-advertisement"]
    assert document.vtag == WHOLE.version(SERVER)
    assert document.tree["meta"] == {"vtag": WHOLE.version(SERVER).to_json()}
    assert FILTERED.depends_on(SERVER) == WHOLE.depends_on(SERVER)


def asked(*capabilities: CdniCapability) -> Any:
    return {"cdni-capabilities": [capability.to_json() for capability in capabilities]}


def test_no_capabilities_ask_for_everything_and_unknown_ones_for_nothing() -> None:
    assert ask(SERVER, FILTERED.id, asked()).tree == ask(SERVER, WHOLE.id).tree
    nothing = ask(SERVER, FILTERED.id, asked(CdniCapability("X", 1))).tree
    assert nothing["cdni-advertisement"] == {"capabilities-with-footprints": []}


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [
        ([protocols("FCI.DeliveryProtocol", "http/1.1")], [0, 1]),
        ([protocols("FCI.DeliveryProtocol", "http/1.1", "https/1.1")], [1]),
        ([protocols("FCI.DeliveryProtocol", "https/1.1", "http/1.1")], [1]),
        ([protocols("FCI.DeliveryProtocol", "https/1.1", "http/1.1", "http/2")], []),
        ([protocols("FCI.AcquisitionProtocol", "https/1.1")], [2]),
        ([HTTPS, protocols("FCI.AcquisitionProtocol", "https/1.1"), HTTPS], [1, 2]),
        ([protocols("FCI.DeliveryProtocol")], [0, 1]),
    ],
)
def test_an_object_is_found_when_one_of_the_asked_capabilities_is_in_its_own(
    capabilities: list[CdniCapability], found: list[int]
) -> None:
    """Section 5.6: whatever the order, and each once."""
    listed = ask(SERVER, FILTERED.id, asked(*capabilities)).tree["cdni-advertisement"]["capabilities-with-footprints"]
    assert listed == [PRINTED[at].to_json() for at in found]


FIELD = "cdni-capabilities"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, (TYPE, None, None)),
        ([], (TYPE, None, None)),
        ({}, (MISSING, FIELD, None)),
        ({FIELD: None}, (TYPE, FIELD, None)),
        ({FIELD: {}}, (TYPE, FIELD, None)),
        ({FIELD: ["x"]}, (VALUE, FIELD, "x")),
        ({FIELD: [None]}, (VALUE, FIELD, "null")),
        ({FIELD: [{"capability-value": 1}]}, (MISSING, f"{FIELD}/capability-type", None)),
        ({FIELD: [{"capability-type": "X"}]}, (MISSING, f"{FIELD}/capability-value", None)),
        ({FIELD: [{"capability-type": 1, "capability-value": 1}]}, (TYPE, f"{FIELD}/capability-type", None)),
        (
            {FIELD: [{"capability-type": None, "capability-value": 1}]},
            (VALUE, FIELD, '{"capability-type":null,"capability-value":1}'),
        ),
        (
            {FIELD: [{"capability-type": "X", "capability-value": None}]},
            (VALUE, FIELD, '{"capability-type":"X","capability-value":null}'),
        ),
        (
            {FIELD: [{"capability-type": "FCI.DeliveryProtocol", "capability-value": ["https/1.1"]}]},
            (VALUE, FIELD, '{"capability-type":"FCI.DeliveryProtocol","capability-value":["https/1.1"]}'),
        ),
    ],
)
def test_each_bad_request_gets_its_code_field_and_value(body: Any, error: Any) -> None:
    """Section 5.6 and trap 5: null and what does not go with its type are wrong values, and values are strings."""
    assert refusal(SERVER, FILTERED.id, body) == error


def test_a_request_of_more_capabilities_than_there_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdniresources, "MAX_CAPABILITIES", 3)
    listed = [CdniCapability("X", number) for number in range(3)]
    ask(SERVER, FILTERED.id, asked(*listed, *listed))
    code, field, _ = refusal(SERVER, FILTERED.id, asked(*listed, CdniCapability("X", 4)))
    assert (code, field) == (VALUE, FIELD)


def test_an_application_s_own_mistakes_are_told() -> None:
    with pytest.raises(ConfigurationError, match="does not go with"):
        CdniResource("x", [Advertisement(CdniCapability("FCI.DeliveryProtocol", ["https/1.1"]))])
    with pytest.raises(ConfigurationError, match="need a network map"):
        CdniResource("x", WITH_PIDS.advertisements)
    secret = CdniResource("secret", PRINTED, is_private=True)
    for filtered, words in (
        (FilteredCdniResource("f", "secret", is_private=False), "private"),
        (FilteredCdniResource("f", "nowhere"), "no CdniResource"),
        (FilteredCdniResource("f", WITH_PIDS.id), "has to use the network map"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            filtered.capabilities(Directory([EUROPE, secret, WITH_PIDS, filtered]))
    good = FilteredCdniResource("f", WITH_PIDS.id, network_map="my-eu-netmap")
    tree = ask(Directory([EUROPE, WITH_PIDS, good]), "f", asked(HTTPS)).tree
    assert tree["meta"]["dependent-vtags"] == [EUROPE.vtag.to_json()]


def test_an_advertisement_is_private_unless_the_operator_says_otherwise() -> None:
    """Section 8: the upstream CDN MUST be authenticated."""
    assert (WHOLE.is_private, FILTERED.is_private) == (True, True)
    server = AltoServer(SERVER, epoch=1e9, base_uri="https://alto.example.com/")
    for request in (
        Request("GET", f"/{WHOLE.id}"),
        Request("POST", f"/{FILTERED.id}", (("Content-Type", media.CDNI_FILTER),), b'{"cdni-capabilities":[]}'),
    ):
        refused = server.handle(request, ("192.0.2.7", 4711), 1.0)
        assert isinstance(refused, Response)
        assert (refused.status, b"capability" in refused.body) == (403, False)


def test_an_advertisement_tells_nobody_the_pids_of_a_private_network_map() -> None:
    europe = NetworkMapResource(EUROPE.id, EUROPE.network_map, is_private=True)
    held = Directory([europe, WITH_PIDS])
    assert WITH_PIDS.capabilities(held) == {}
    public = CdniResource("public", WITH_PIDS.advertisements, network_map=EUROPE.id, is_private=False)
    with pytest.raises(ConfigurationError, match="private 'my-eu-netmap'"):
        public.capabilities(Directory([europe, public]))
    with pytest.raises(ConfigurationError, match="is no NetworkMapResource"):
        CdniResource("x", PRINTED, network_map=WHOLE.id).capabilities(SERVER)


# Section 6.3.1 has other footprints than 3.7.2; these are what it shows.
HTTP = protocols("FCI.DeliveryProtocol", "http/1.1")
BOTH = protocols("FCI.DeliveryProtocol", "https/1.1", "http/1.1")
ACQUIRE = protocols("FCI.AcquisitionProtocol", "http/1.1")
SHOWN = CdniResource(
    "my-default-cdnifci",
    [
        Advertisement(
            HTTP,
            (
                Footprint("countrycode", ("us",)),
                Footprint("ipv4cidr", ("192.0.2.0/24",)),
                Footprint("ipv6cidr", ("2001:db8::/32",)),
            ),
        ),
        Advertisement(BOTH, (Footprint("ipv4cidr", ("198.51.100.0/24",)), Footprint("asn", ("as64496",)))),
        Advertisement(ACQUIRE, (Footprint("ipv4cidr", ("203.0.113.0/24",)),)),
    ],
)
NAME = "my-default-cdnifci.cdni-capabilities"
ENTITIES = PropertySource(mappings={"ipv4": [NAME], "ipv6": [NAME], "countrycode": [NAME], "asn": [NAME]})


def test_footprints_are_entities_with_their_capabilities() -> None:
    """Section 6.3.1, whose `meta` is inside the `property-map` (trap 21)."""
    props = PropertyMapResource("cdnifci-property-map", ENTITIES, is_private=True)
    directory = Directory([SHOWN, props])
    assert props.capabilities(directory) == {
        "mappings": {name: [NAME] for name in ("ipv4", "ipv6", "countrycode", "asn")}
    }
    tree = ask(directory, props.id).tree
    printed = example("rfc9241-s6.3.1-01")["property-map"]
    meta = printed.pop("meta")
    assert tree["property-map"] == printed
    named = [vtag["resource-id"] for vtag in tree["meta"]["dependent-vtags"]]
    assert named == [vtag["resource-id"] for vtag in meta["dependent-vtags"]]
    parse_property_map(tree, Findings())


def test_capabilities_and_pids_are_asked_together() -> None:
    """Section 6.3.2; the names of the PIDs are those of our map."""
    pid = "my-default-networkmap.pid"
    source = PropertySource(mappings={"ipv4": [NAME, pid], "ipv6": [NAME, pid], "countrycode": [NAME], "asn": [NAME]})
    props = FilteredPropertyMapResource("filtered-cdnifci-property-map", source)
    directory = Directory([SHOWN, DEFAULT, props])
    tree = ask(directory, props.id, example("rfc9241-s6.3.2-01")).tree
    printed = example("rfc9241-s6.3.2-02")["property-map"]
    meta = printed.pop("meta")
    for properties in printed.values():
        properties[pid] = "south-france"
    assert tree["property-map"] == printed
    assert [vtag["resource-id"] for vtag in tree["meta"]["dependent-vtags"]] == [
        vtag["resource-id"] for vtag in meta["dependent-vtags"]
    ]


def capabilities_of(
    domain_type: str, *advertisements: Advertisement, network_map: NetworkMap | None = None
) -> dict[str, list[str]]:
    """The capability types of each entity."""
    return {
        format_key(domain_type, key): [value["capability-type"] for value in values]
        for key, values in footprint_capabilities(advertisements, domain_type, network_map)
    }


def advertise(kind: str, footprint_type: str = "", *values: str) -> Advertisement:
    return Advertisement(CdniCapability(kind, 1), (Footprint(footprint_type, values),) if values else ())


def test_a_longer_prefix_has_the_capabilities_of_those_around_it_too() -> None:
    """Section 6.2.2: all that are provided for it; inheritance alone would hide the shorter prefix's."""
    assert capabilities_of(
        "ipv4",
        advertise("A", "ipv4cidr", "10.0.0.0/8"),
        advertise("B", "ipv4cidr", "10.1.0.0/16", "11.0.0.0/8"),
        advertise("C", "ipv4cidr", "10.1.1.0/24"),
    ) == {"10.0.0.0/8": ["A"], "10.1.0.0/16": ["A", "B"], "10.1.1.0/24": ["A", "B", "C"], "11.0.0.0/8": ["B"]}


def test_what_holds_everywhere_holds_for_every_entity() -> None:
    everywhere, some = advertise("A"), advertise("B", "ipv4cidr", "10.0.0.0/8")
    assert capabilities_of("ipv4", everywhere, some) == {"0.0.0.0/0": ["A"], "10.0.0.0/8": ["A", "B"]}
    assert capabilities_of("ipv6", everywhere, some) == {"::/0": ["A"]}
    assert capabilities_of("asn", everywhere, advertise("B", "asn", "as1")) == {"as1": ["A", "B"]}
    assert capabilities_of("countrycode", some) == {}


def test_pids_as_footprints_hold_for_their_addresses() -> None:
    small = NetworkMap({"a": {"ipv4": ["0.0.0.0/0", "10.1.0.0/16"]}, "b": {"ipv4": ["10.0.0.0/8", "10.1.1.0/24"]}})
    pids = advertise("A", "altopid", "a"), advertise("C", "ipv4cidr", "10.1.1.0/25", "10.0.0.0/8")
    assert capabilities_of("ipv4", *pids, network_map=small) == {
        "0.0.0.0/0": ["A"],
        "10.0.0.0/8": ["C"],
        "10.1.0.0/16": ["A", "C"],
        "10.1.1.0/24": ["C"],
        "10.1.1.0/25": ["C"],
    }
    assert capabilities_of("ipv4", pids[0], network_map=small) == {
        "0.0.0.0/0": ["A"],
        "10.0.0.0/8": [],
        "10.1.0.0/16": ["A"],
        "10.1.1.0/24": [],
    }
    assert capabilities_of("pid", *pids, network_map=small) == {"a": ["A"]}
    assert capabilities_of("pid", advertise("B"), *pids, network_map=small) == {"a": ["B", "A"], "b": ["B"]}


def test_the_same_capability_of_two_advertisements_is_listed_once() -> None:
    twice = advertise("A", "asn", "as1"), advertise("A", "asn", "as1", "as2")
    assert capabilities_of("asn", *twice) == {"as1": ["A"], "as2": ["A"]}


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("FCI.DeliveryProtocol"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["capability-type", "capability-value", FIELD]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(_JUNK | st.fixed_dictionaries({FIELD: st.lists(_JUNK, max_size=3)}))
def test_any_json_that_is_posted_is_answered_or_refused(body: Any) -> None:
    try:
        tree = ask(SERVER, FILTERED.id, body).tree
    except RequestError:
        return
    parse_cdni(tree, Findings())


def test_an_advertisement_for_one_upstream_cdn_needs_its_digest() -> None:
    """Section 8: the client is authenticated, by HTTP Digest."""
    secret = CdniResource("secret", PRINTED, is_private=True)
    digest = DigestAuthenticator("dcdn", {"ucdn": "password"})
    server = AltoServer(
        Directory([EUROPE, secret], default_network_map=EUROPE.id),
        epoch=1e9,
        base_uri="https://alto.example.com/alto",
        authenticator=digest,
    )
    plain = Request("GET", "https://alto.example.com/alto/secret")
    refused = server.handle(plain, ("192.0.2.7", 4711), 1.0)
    assert isinstance(refused, Response)
    assert (refused.status, b"capability" in refused.body) == (401, False)
    proven = DigestClient("https://alto.example.com", "ucdn", "password").answer(plain, refused)
    assert proven is not None
    served = server.handle(evolve(proven, target="/alto/secret"), ("192.0.2.7", 4711), 2.0)
    assert isinstance(served, Response)
    assert (served.status, served.header("Content-Type")) == (200, media.CDNI)
    assert parse_cdni(loads(served.body), Findings()).advertisements == PRINTED
