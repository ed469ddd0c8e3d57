"""Entity domains, property names and identifiers (RFC 9240 section 5, RFC 9241 section 6.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.entities import (
    DOMAIN_TYPES,
    PROPERTY_TYPES,
    EntityDomains,
    ScopedName,
    format_key,
    guess_entity,
    is_domain_type,
    parse_domain_name,
    parse_key,
    parse_property_name,
)


@pytest.mark.parametrize("text", ["ipv4", "ipv6", "pid", "priv:example-test-edt", "_", "-", "__--", "a" * 64])
def test_a_domain_type_is_64_characters_of_the_allowed_ones(text: str) -> None:
    assert is_domain_type(text)
    assert parse_domain_name(text) == ScopedName(None, text)


@pytest.mark.parametrize(
    "text",
    ["ipv4.anycast", "pid.local", "priv:", "", "a" * 65, "priv:" + "a" * 60, "ä", "a b", "a:b", "x:priv:y", "a\n"],
)
def test_what_section_5_1_1_excludes_is_no_domain_type(text: str) -> None:
    assert not is_domain_type(text)


@pytest.mark.parametrize("text", ["priv:a:b", "priv:priv:a", ":", "a:", "PRIV:a"])
def test_a_colon_stands_only_in_priv_at_the_start_of_a_domain_type(text: str) -> None:
    assert not is_domain_type(text)


def test_domains_are_agnostic_self_defined_or_specific_to_a_resource() -> None:
    agnostic, own, specific = map(parse_domain_name, ("ipv4", ".ane", "netmap-1.pid"))
    assert (agnostic.resource_id, own.resource_id, specific.resource_id) == (None, "", "netmap-1")
    assert (own.is_self_defined, own.is_specific, agnostic.is_self_defined) == (True, False, False)
    assert specific.is_specific
    assert [str(name) for name in (agnostic, own, specific)] == ["ipv4", ".ane", "netmap-1.pid"]


@pytest.mark.parametrize("text", ["a.b.pid", "a b.pid", ".", "a.", "x" * 65 + ".pid", "..pid", "netmap:1.p.d"])
def test_the_dot_only_separates_a_resource_id_from_a_type(text: str) -> None:
    """Trap 17."""
    with pytest.raises(ValueError, match="no entity domain name"):
        parse_domain_name(text)


def test_domain_types_have_64_characters_and_property_types_32() -> None:
    """Trap 18."""
    assert parse_domain_name("r" * 64 + "." + "t" * 64).type == "t" * 64
    assert parse_property_name("r" * 64 + "." + "t" * 32).type == "t" * 32
    for name in ("t" * 33, "r." + "t" * 33, "r" * 65 + ".t"):
        with pytest.raises(ValueError, match="no entity property name"):
            parse_property_name(name)


@pytest.mark.parametrize("text", [":", "_::-", "priv:x", "a:b", ".ASN", "net-map-1.pid", "a:b.pid"])
def test_a_property_type_may_hold_colons_anywhere(text: str) -> None:
    assert str(parse_property_name(text)) == text


@pytest.mark.parametrize("text", ["priv:", ".priv:", "a.priv:", "", ".", "a/b", "a.b.c", "é", "a\n"])
def test_what_section_5_2_1_excludes_is_no_property(text: str) -> None:
    with pytest.raises(ValueError, match="no entity property name"):
        parse_property_name(text)


def test_the_registries_name_the_media_types_of_defining_resources() -> None:
    assert {name: kind.defining_media_type for name, kind in DOMAIN_TYPES.items()} == {
        "ipv4": media.NETWORK_MAP,
        "ipv6": media.NETWORK_MAP,
        "pid": media.NETWORK_MAP,
        "ane": media.PROPERTY_MAP,
        "asn": None,
        "countrycode": None,
    }
    assert dict(PROPERTY_TYPES) == {"pid": media.NETWORK_MAP, "cdni-capabilities": media.CDNI}
    assert [name for name, kind in DOMAIN_TYPES.items() if kind.family] == ["ipv4", "ipv6"]


def test_entity_identifiers_do_not_split_at_the_first_colon_or_dot() -> None:
    """Trap 31."""
    domains = EntityDomains(["a", "a:b.pid", "ipv4", "ipv6", "priv:x", "net:1.ipv6", ".ane"])
    found = {
        text: (entity.domain, entity.key)
        for text in ("a:b.pid:P", "a:b", "ipv4:192.0.2.1", "priv:x:1:2", "net:1.ipv6:2001:db8::1", ".ane:dc:1")
        for entity in [domains.parse(text)]
    }
    assert found == {
        "a:b.pid:P": ("a:b.pid", "P"),
        "a:b": ("a", "b"),
        "ipv4:192.0.2.1": ("ipv4", (0xC0000201, 32)),
        "priv:x:1:2": ("priv:x", "1:2"),
        "net:1.ipv6:2001:db8::1": ("net:1.ipv6", (0x20010DB8 << 96 | 1, 128)),
        ".ane:dc:1": (".ane", "dc:1"),
    }


@pytest.mark.parametrize("text", ["", ":", "ipv4", "ipv4:", "pid:P", "b.pid:P", "x" * 500 + ":1", "ipv5:1.2.3.4"])
def test_an_identifier_in_none_of_the_domains_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        EntityDomains(["ipv4", "a:b.pid"]).parse(text)


def test_an_address_and_its_prefix_of_full_length_are_one_entity() -> None:
    domains = EntityDomains(["ipv4", "ipv6"])
    assert domains.parse("ipv4:192.0.2.0") == domains.parse("ipv4:192.0.2.0/32")
    assert domains.parse("ipv6:2001:db8::1") == domains.parse("ipv6:2001:DB8:0:0:0:0:0:1/128")
    assert str(domains.parse("ipv4:192.0.2.0/32")) == "ipv4:192.0.2.0"
    assert str(domains.parse("ipv6:2001:db8:0::/32")) == "ipv6:2001:db8::/32"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ipv4", "2001:db8::1"),
        ("ipv6", "192.0.2.1"),
        ("ipv4", "192.0.2.0/33"),
        ("ipv4", "192.0.2.0/"),
        ("ipv4", "192.0.2"),
        ("ipv4", "192.0.2.1/24"),
        ("ipv6", "2001:db8::/129"),
        ("ipv6", "fe80::1%eth0"),
        ("pid", "a.b"),
        ("pid", ""),
        ("ane", "x" * 65),
        ("priv:x", ""),
        ("priv:x", "x" * 2000),
    ],
)
def test_an_identifier_that_its_domain_type_excludes_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError):
        parse_key(kind, text)


def test_host_bits_are_masked_in_ipv6_and_by_the_lenient() -> None:
    assert format_key("ipv6", parse_key("ipv6", "2001:db8::1/64")) == "2001:db8::/64"
    assert format_key("ipv4", parse_key("ipv4", "192.0.2.1/24", is_lenient=True)) == "192.0.2.0/24"


@pytest.mark.parametrize("text", ["as0", "as64496", "as4294967295"])
def test_an_asn_is_as_and_a_decimal_number(text: str) -> None:
    assert parse_key("asn", text) == text


@pytest.mark.parametrize(
    "text", ["AS64496", "64496", "as", "as064496", "as00", "as4294967296", "as1.0", "as٣", "as1\n"]
)
def test_an_asn_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="identifies nothing"):
        parse_key("asn", text)


@pytest.mark.parametrize("text", ["US", "usa", "u", "u1", "", "µs", "us\n"])
def test_a_country_code_is_two_small_letters(text: str) -> None:
    assert parse_key("countrycode", "us") == "us"
    with pytest.raises(ValueError, match="identifies nothing"):
        parse_key("countrycode", text)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("ipv6:2001:db8::1", "ipv6"),
        ("netmap1.ipv4:192.0.2.0/24", "netmap1.ipv4"),
        ("a:b.pid:P", "a:b.pid"),
        ("ipv4:b.pid:P", "ipv4:b.pid"),
        (".ane:NET1", ".ane"),
        ("priv:x:foo:bar", "priv:x"),
        ("asn:as64496", "asn"),
        ("cell:4711", "cell"),
    ],
)
def test_a_domain_is_guessed_where_none_are_known(text: str, domain: str) -> None:
    assert guess_entity(text).domain == domain


@pytest.mark.parametrize(
    "text", ["", "ipv4", "ipv4:300.1.1.1", "asn:as01", "a b:c", ":x", "pid:", "ipv4:1.2.3.4/24", "asn:b.cell:4711"]
)
def test_nothing_is_guessed_of_what_is_no_identifier(text: str) -> None:
    with pytest.raises(ValueError):
        guess_entity(text)


@given(st.text(max_size=200) | st.from_regex(r"(\.?(ipv4|ipv6|pid|a:b\.pid|priv:x):)[0-9a-f.:/]{0,40}", fullmatch=True))
def test_any_text_is_an_entity_or_a_value_error(text: str) -> None:
    for read in (EntityDomains(["ipv4", "ipv6", "a:b.pid", "priv:x"]).parse, guess_entity):
        try:
            entity = read(text)
        except ValueError:
            continue
        assert read(str(entity)) == entity


def test_a_long_text_of_colons_is_no_work() -> None:
    for read in (EntityDomains(["ipv4"]).parse, guess_entity):
        with pytest.raises(ValueError):
            read(":" * 1_000_000)


def test_the_longest_domain_name_is_found() -> None:
    domain = "r" * 64 + ".priv:" + "t" * 59
    assert EntityDomains(["ipv4", domain]).parse(f"{domain}:x:y").key == "x:y"
    assert guess_entity(f"{domain}:x").domain == domain


_TYPE = st.from_regex(r"(priv:)?[A-Za-z0-9_-]{1,8}", fullmatch=True)
_DOMAIN = st.builds(
    lambda resource_id, dot, kind: f"{resource_id if dot else ''}{dot}{kind}",
    st.from_regex(r"(priv:|ipv6:|[A-Za-z0-9:@_-]){0,6}", fullmatch=True),
    st.sampled_from(["", "."]),
    _TYPE,
)


@given(_DOMAIN, st.text(alphabet="ab:.priv@/", min_size=1, max_size=12))
def test_wherever_the_colons_are_an_identifier_is_found_in_its_domain(domain: str, identifier: str) -> None:
    assert EntityDomains([domain, "zz"]).parse(f"{domain}:{identifier}").domain == domain


def test_a_map_of_colons_is_no_work_either() -> None:
    """Two places at most are where a domain name may end, whatever colons there are."""
    assert guess_entity("a@b:c:d.cell:4:7:1:1").domain == "a@b:c:d.cell"
    assert guess_entity("priv:x.y:z").domain == "priv:x.y"
    assert guess_entity("priv:a.priv:b:c").domain == "priv:a.priv:b"
    for text in (":" * 128 + ".x", "." * 200, "priv:"):
        for read in (EntityDomains(["ipv4", "priv:x"]).parse, guess_entity):
            with pytest.raises(ValueError):
                read(text)
