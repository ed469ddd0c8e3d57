"""The Configuration Document: what it says, its defaults, and what is refused."""

import contextlib
import importlib
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reload_configurations import DATA, PRIVATE, SAMPLE, configuration, document, kind_signer
from reload_identities import NOW, OVERLAY, authority

from reload._xml import MAX_DEPTH, MAX_DOCUMENT, MAX_ELEMENTS, MAX_PREFIXES, read_xml
from reload.configuration import BootstrapNode, Configuration, read_configuration
from reload.configuration_extensions import SIP
from reload.configuration_update import Capabilities
from reload.configuration_writer import write_document
from reload.errors import DecodeError
from reload.kinds import REGISTERED, AccessControl, Extension, Kind
from reload.storage_messages import DataModel

_BASE = "urn:ietf:params:xml:ns:p2p:config-base"
_CHORD = "urn:ietf:params:xml:ns:p2p:config-chord"
_SELF = '<self-signed-permitted digest="sha1">true</self-signed-permitted>'
_ATTRIBUTES = 'instance-name="overlay.example.org" sequence="1" expiration="2030-01-01T00:00:00Z"'


def _document(inner: str = "", attributes: str = _ATTRIBUTES, trust: str = _SELF, more: str = "") -> bytes:
    """A document whose configuration permits self-signed certificates and has `inner` in it."""
    head = f'<overlay xmlns="{_BASE}" xmlns:chord="{_CHORD}" xmlns:x="urn:x">'
    return f"{head}<configuration {attributes}>{trust}{inner}</configuration>{more}</overlay>".encode()


def _read(inner: str = "", attributes: str = _ATTRIBUTES, trust: str = _SELF, more: str = "") -> Configuration:
    return read_configuration(_document(inner, attributes, trust, more), OVERLAY)


# The example of the RFC.


def test_the_example_of_the_rfc_says_what_it_says() -> None:
    found = read_configuration(SAMPLE, OVERLAY)
    assert (found.instance_name, found.sequence, found.expiration) == (OVERLAY, 22, 1034233200.0)
    assert (found.topology_plugin, found.node_id_length) == ("CHORD-RELOAD", 16)
    assert found.enrollment_servers == ("https://example.org", "https://example.net")
    assert not found.self_signed_permitted
    assert found.bootstrap_nodes == tuple(map(BootstrapNode, ("192.0.0.1", "192.0.2.2", "2001:db8::1")))
    assert (found.turn_density, found.clients_permitted, found.no_ice) == (20, False, False)
    assert (found.chord_update_interval, found.chord_ping_interval, found.chord_reactive) == (400, 30, True)
    assert found.shared_secret == "password"
    assert (found.max_message_size, found.initial_ttl, found.overlay_reliability_timer) == (4000, 30, 3000)
    assert found.overlay_link_protocols == ("TLS",)
    assert [each.hex() for each in found.configuration_signers] == ["47112162e84c69ba"]
    assert [each.hex() for each in found.kind_signers] == ["47112162e84c69ba", "6eba45d31a900c06"]
    assert [each.hex() for each in found.bad_nodes] == ["6ebc45d31a900c06", "6ebc45d31a900ca6"]
    assert found.mandatory_extensions == ("urn:ietf:params:xml:ns:p2p:config-ext1",)
    assert [each.text for each in found.extensions] == ["foo"]
    assert found.signatures == (b"This is not right!\n",)


def test_the_kinds_of_the_example_have_the_registered_data_model_and_policy() -> None:
    """It prints SINGLE and USER-MATCH for SIP-REGISTRATION, which clients MUST ignore."""
    sip, private = (block.kind for block in read_configuration(SAMPLE, OVERLAY).kind_blocks)
    assert sip == attrs.evolve(
        REGISTERED["SIP-REGISTRATION"], max_count=1, max_size=100, block=sip.block if sip else b""
    )
    assert private is not None
    assert (private.id, private.data_model, private.access_control) == (2000, DataModel.ARRAY, "NODE-MULTIPLE")
    assert (private.max_node_multiple, private.max_count, private.max_size) == (3, 22, 4)
    assert [each.name for each in private.extensions] == ["example-kind-extension"]


def test_what_the_example_cannot_mean_is_remarked() -> None:
    """Its Node-IDs have 8 octets, its first root-cert the serial number 0, and its second one is none."""
    remarks = read_configuration(SAMPLE, OVERLAY).remarks
    assert sum("octets, so it is nobody's" in remark for remark in remarks) == 5
    assert sum("root-cert" in remark for remark in remarks) == 2


def test_the_other_configuration_of_the_example_lacks_its_attributes() -> None:
    with pytest.raises(DecodeError, match="sequence, expiration missing"):
        read_configuration(SAMPLE, "other.example.net")


def test_the_signed_octets_are_those_from_the_first_to_the_last_bracket() -> None:
    found = read_configuration(SAMPLE, OVERLAY)
    start, stop = SAMPLE.index(b"<configuration "), SAMPLE.index(b"</configuration>") + len(b"</configuration>")
    assert found.octets == SAMPLE[start:stop]
    start, stop = SAMPLE.index(b"<kind name"), SAMPLE.index(b"</kind>") + len(b"</kind>")
    assert found.kind_blocks[0].signed == SAMPLE[start:stop]


def test_the_signed_octets_are_exact_among_multi_byte_text_brackets_in_attributes_and_spaces_in_tags() -> None:
    plain = _document("<shared-secret>pä</shared-secret>").decode()
    body = plain.replace("<overlay", '<?xml version="1.0"?><!-- é > -->\r\n<overlay', 1)
    body = body.replace("<configuration ", '<configuration x:note="é>/>" ').replace(
        "</configuration>", "</configuration \n>"
    )
    octets = b"\xef\xbb\xbf" + body.encode()
    found = read_configuration(octets, OVERLAY).octets
    assert found.startswith(b"<configuration x:note=")
    assert found.endswith(b"</self-signed-permitted><shared-secret>p\xc3\xa4</shared-secret></configuration \n>")
    assert octets.count(found) == 1


def _grammar() -> tuple[object, object]:
    etree = importlib.import_module("lxml.etree")
    return etree, etree.RelaxNG(etree.parse(DATA / "rfc6940_configuration.rng"))


def test_the_example_follows_the_grammar_but_for_the_timer_that_this_forgot() -> None:
    etree, grammar = _grammar()
    root = etree.fromstring(SAMPLE)  # type: ignore[attr-defined]
    assert not grammar.validate(root)  # type: ignore[attr-defined]
    for timer in root.iter(f"{{{_BASE}}}overlay-reliability-timer"):
        timer.getparent().remove(timer)
    assert grammar.validate(root)  # type: ignore[attr-defined]


def test_what_we_write_follows_the_grammar_of_the_rfc() -> None:
    etree, grammar = _grammar()
    root = etree.fromstring(document([PRIVATE, REGISTERED["TURN-SERVICE"]]))  # type: ignore[attr-defined]
    for timer in root.iter(f"{{{_BASE}}}overlay-reliability-timer"):
        timer.getparent().remove(timer)
    assert grammar.validate(root), grammar.error_log  # type: ignore[attr-defined]


# Defaults, and every element.


def test_what_is_left_out_has_the_default_of_the_rfc() -> None:
    found = _read()
    assert found.topology_plugin == "CHORD-RELOAD"
    assert found.node_id_length == 16
    assert found.turn_density == 1
    assert found.clients_permitted
    assert not found.no_ice
    assert (found.chord_update_interval, found.chord_ping_interval, found.chord_reactive) == (600, 3600, True)
    assert found.shared_secret is None
    assert (found.max_message_size, found.initial_ttl, found.overlay_reliability_timer) == (5000, 100, 3000)
    assert found.overlay_link_protocols == ("TLS",)
    assert _read('<bootstrap-node address="192.0.2.1"/>').bootstrap_nodes == (BootstrapNode("192.0.2.1", 6084),)


@pytest.mark.parametrize(
    ("inner", "field", "value"),
    [
        ("<topology-plugin>OTHER</topology-plugin>", "topology_plugin", "OTHER"),
        ("<topology-plug-in>OTHER</topology-plug-in>", "topology_plugin", "OTHER"),
        ("<topology-plugin>X</topology-plugin><node-id-length> 20 </node-id-length>", "node_id_length", 20),
        (
            "<enrollment-server><url>https://a.example/</url></enrollment-server>",
            "enrollment_servers",
            ("https://a.example/",),
        ),
        ('<bootstrap-node address="2001:DB8:0::1" port="7"/>', "bootstrap_nodes", (BootstrapNode("2001:db8::1", 7),)),
        ("<turn-density>0</turn-density>", "turn_density", 0),
        ("<clients-permitted>0</clients-permitted>", "clients_permitted", False),
        ("<no-ice>\n 1 </no-ice>", "no_ice", True),
        ("<chord:chord-reactive>false</chord:chord-reactive>", "chord_reactive", False),
        ("<chord:chord-ping-interval>+7</chord:chord-ping-interval>", "chord_ping_interval", 7),
        ("<chord:chord-update-interval>7</chord:chord-update-interval>", "chord_update_interval", 7),
        ("<shared-secret>a&amp;b<!-- no --> c</shared-secret>", "shared_secret", "a&b c"),
        ("<max-message-size>4294967295</max-message-size>", "max_message_size", 0xFFFFFFFF),
        ("<initial-ttl>255</initial-ttl>", "initial_ttl", 255),
        ("<overlay-reliability-timer>200</overlay-reliability-timer>", "overlay_reliability_timer", 200),
        (
            "<overlay-link-protocol>A</overlay-link-protocol><overlay-link-protocol>B</overlay-link-protocol>",
            "overlay_link_protocols",
            ("A", "B"),
        ),
        ("<bad-node>0x" + "AB" * 16 + "</bad-node>", "bad_nodes", (b"\xab" * 16,)),
        ("<mandatory-extension>urn:X</mandatory-extension>", "mandatory_extensions", ("urn:X",)),
    ],
)
def test_an_element_is_read(inner: str, field: str, value: object) -> None:
    assert getattr(_read(inner), field) == value


@pytest.mark.parametrize(
    "inner",
    [
        "<topology-plugin/>",
        "<topology-plugin>A</topology-plugin><topology-plug-in>A</topology-plug-in>",
        "<node-id-length>15</node-id-length>",
        "<topology-plugin>X</topology-plugin><node-id-length>21</node-id-length>",
        "<node-id-length>16</node-id-length><node-id-length>16</node-id-length>",
        "<root-cert>not base64!</root-cert>",
        "<enrollment-server>http://example.org</enrollment-server>",
        "<enrollment-server>https://</enrollment-server>",
        '<bootstrap-node address="example.org"/>',
        '<bootstrap-node port="1"/>',
        '<bootstrap-node address="192.0.2.1" port="65536"/>',
        '<bootstrap-node address="192.0.2.1" port="0"/>',
        "<turn-density>-1</turn-density>",
        "<turn-density>256</turn-density>",
        "<clients-permitted>TRUE</clients-permitted>",
        "<no-ice>yes</no-ice>",
        "<chord:chord-reactive/>",
        "<chord:chord-ping-interval>0</chord:chord-ping-interval>",
        "<chord:chord-update-interval>1.5</chord:chord-update-interval>",
        "<max-message-size>0</max-message-size>",
        "<max-message-size>٤٠٠٠</max-message-size>",
        "<initial-ttl>0</initial-ttl>",
        "<initial-ttl>256</initial-ttl>",
        "<overlay-reliability-timer>199</overlay-reliability-timer>",
        "<overlay-link-protocol> </overlay-link-protocol>",
        "<configuration-signer>xyz</configuration-signer>",
        "<kind-signer>abc</kind-signer>",
        "<bad-node/>",
        "<mandatory-extension/>",
        '<self-signed-permitted digest="sha1">true</self-signed-permitted>',
    ],
)
def test_an_element_that_says_nothing_that_it_may_is_refused(inner: str) -> None:
    with pytest.raises(DecodeError, match="Configuration Document of"):
        _read(inner)


@pytest.mark.parametrize("digest", ['digest="md5"', ""])
def test_self_signed_certificates_need_a_digest_that_is_known(digest: str) -> None:
    with pytest.raises(DecodeError, match="digest"):
        _read(trust=f"<self-signed-permitted {digest}>true</self-signed-permitted>")


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_both_digests_for_self_signed_node_ids_are_known(digest: str) -> None:
    found = _read(trust=f'<self-signed-permitted digest="{digest}">true</self-signed-permitted>')
    assert found.trust.self_signed_digest == digest


def test_a_configuration_in_which_nobody_could_be_trusted_is_refused() -> None:
    with pytest.raises(DecodeError, match="nobody could be trusted"):
        _read(trust="")


@pytest.mark.parametrize("plugin", ["CHORD-RELOAD", "CHORD-SELF-TUNING"])
def test_chord_has_node_ids_of_16_octets_only(plugin: str) -> None:
    with pytest.raises(DecodeError, match="ring is that of 16 octets"):
        _read(f"<topology-plugin>{plugin}</topology-plugin><node-id-length>20</node-id-length>")


@pytest.mark.parametrize(
    "attributes",
    [
        'instance-name="overlay.example.org" sequence="1"',
        'instance-name="overlay.example.org" expiration="2030-01-01T00:00:00Z"',
        'instance-name="overlay.example.org" sequence="65535" expiration="2030-01-01T00:00:00Z"',
        'instance-name="overlay.example.org" sequence="-1" expiration="2030-01-01T00:00:00Z"',
        'instance-name="overlay.example.org" sequence="1" expiration="2030-01-01T00:00:00"',
        'instance-name="overlay.example.org" sequence="1" expiration="2030-01-01T00:00:00+01:00"',
        'instance-name="overlay.example.org" sequence="1" expiration="2030-02-30T00:00:00Z"',
        'instance-name="overlay.example.org" sequence="1" expiration="2030-01-01T00:00:61Z"',
        'instance-name="overlay.example.org" sequence="1" expiration="tomorrow"',
        'sequence="1" expiration="2030-01-01T00:00:00Z"',
    ],
)
def test_attributes_that_are_missing_or_wrong_are_refused(attributes: str) -> None:
    with pytest.raises(DecodeError):
        _read(attributes=attributes)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2002-10-10T07:00:00Z", 1034233200.0),
        ("2002-10-10t07:00:00.5z", 1034233200.5),
        ("2002-10-10T07:00:00-00:00", 1034233200.0),
        ("2016-12-31T23:59:60Z", 1483228799.0),
    ],
)
def test_the_expiration_is_a_time_in_utc(text: str, time: float) -> None:
    attributes = f'instance-name="overlay.example.org" sequence="65534" expiration="{text}"'
    assert _read(attributes=attributes).expiration == time


def test_a_name_that_is_no_domain_name_is_refused() -> None:
    bad = _document(attributes=_ATTRIBUTES.replace("overlay.example.org", "no name"))
    with pytest.raises(DecodeError, match="instance-name"):
        read_configuration(bad, "no name")


def test_one_document_may_hold_configurations_of_several_overlays() -> None:
    other = f"<configuration {_ATTRIBUTES.replace('overlay.', 'second.')}>{_SELF}</configuration>"
    more = f"<signature>QUE=</signature><signature>QUI=</signature>{other}<signature>QQ==</signature>"
    third = f"<configuration {_ATTRIBUTES.replace('overlay.', 'third.')}/><signature>not base64</signature>"
    assert _read(more=more + third).instance_name == OVERLAY
    assert _read(more=more).signatures == (b"AA", b"AB")
    second = read_configuration(_document(more=more), "Second.Example.org")
    assert (second.instance_name, second.signatures) == ("second.example.org", (b"A",))


def test_no_and_two_configurations_of_a_name_are_refused() -> None:
    with pytest.raises(DecodeError, match="0 configurations"):
        read_configuration(_document(), "third.example.org")
    with pytest.raises(DecodeError, match="2 configurations"):
        _read(more=f"<configuration {_ATTRIBUTES}>{_SELF}</configuration>")


def test_elements_that_are_not_known_are_left_alone() -> None:
    found = _read('<new-thing>1</new-thing><x:y x:a="1" b="2"> t <x:z/></x:y>')
    assert found.remarks == ("new-thing: no element of RFC 6940",)
    inner = Extension("urn:x", "z")
    assert found.extensions == (Extension("urn:x", "y", {"urn:x a": "1", "b": "2"}, "t", (inner,)),)


def test_a_configuration_expires_at_its_expiration_and_is_fetched_anew_before() -> None:
    found = configuration(expiration=NOW + 100)
    assert not found.is_expired(NOW + 99)
    assert found.is_expired(NOW + 100)
    source = random.Random(1)
    times = {found.refresh_at(NOW, source.randbytes) for _ in range(50)}
    assert len(times) == 50
    assert all(NOW + 50 <= time < NOW + 100 for time in times)
    assert found.refresh_at(NOW + 500, source.randbytes) == NOW + 500


# Kinds.


def _kind(inner: str, attributes: str = 'id="4026531841"') -> Configuration:
    block = f"<kind {attributes}>{inner}</kind><kind-signature>QQ==</kind-signature>"
    return _read(f"<required-kinds><kind-block>{block}</kind-block></required-kinds>")


_FULL = (
    "<data-model>SINGLE</data-model><access-control>USER-MATCH</access-control>"
    "<max-count>1</max-count><max-size>10</max-size>"
)


def test_a_kind_has_an_id_or_a_name() -> None:
    for attributes in ("", 'id="1" name="TURN-SERVICE"', 'id="0"', 'id="4294967295"', 'id="x"'):
        with pytest.raises(DecodeError):
            _kind(_FULL, attributes)


@pytest.mark.parametrize("missing", ["data-model", "access-control", "max-count", "max-size"])
def test_a_kind_without_one_of_its_elements_is_refused(missing: str) -> None:
    inner = _FULL.replace(f"<{missing}>", "<x:a>").replace(f"</{missing}>", "</x:a>")
    with pytest.raises(DecodeError, match=f"{missing} missing"):
        _kind(inner)


@pytest.mark.parametrize(
    "multiple", ["", "<max-node-multiple>0</max-node-multiple>", "<max-node-multiple>256</max-node-multiple>"]
)
def test_node_multiple_needs_its_maximum_from_1_to_255(multiple: str) -> None:
    with pytest.raises(DecodeError):
        _kind(_FULL.replace("USER-MATCH", "NODE-MULTIPLE") + multiple)


def test_user_node_match_is_for_dictionaries_only() -> None:
    with pytest.raises(DecodeError, match="dictionaries"):
        _kind(_FULL.replace("USER-MATCH", "USER-NODE-MATCH"))


def test_a_registered_kind_keeps_its_data_model_and_policy_by_name_and_by_number() -> None:
    for attributes in ('name="CERTIFICATE_BY_NODE"', 'id="3"'):
        found = _kind(_FULL, attributes).kind_blocks[0].kind
        assert found is not None
        expected = attrs.evolve(REGISTERED["CERTIFICATE_BY_NODE"], max_count=1, max_size=10, block=found.block)
        assert found == expected


@pytest.mark.parametrize(
    ("inner", "attributes"),
    [
        (_FULL, 'name="NEW-KIND"'),
        (_FULL.replace("SINGLE", "EXP-DATA"), 'id="9"'),
        (_FULL.replace("USER-MATCH", "EXP-MATCH"), 'id="9"'),
    ],
)
def test_a_kind_that_cannot_be_supported_is_an_obstacle(inner: str, attributes: str) -> None:
    found = _kind(inner, attributes)
    assert found.kind_blocks[0].kind is None
    assert Capabilities().obstacles(found) == (found.kind_blocks[0].obstacle,)


def test_a_kind_that_is_defined_twice_is_refused() -> None:
    block = f'<kind-block><kind id="9">{_FULL}</kind></kind-block>'
    with pytest.raises(DecodeError, match="twice"):
        _read(f"<required-kinds>{block}{block}</required-kinds>")


# Writing.


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "node_id_length": 20,
            "topology_plugin": "A <&> B",
            "enrollment_servers": ("https://a.example/?x=1&y=2",),
            "self_signed_permitted": True,
            "self_signed_digest": "sha256",
            "bootstrap_nodes": (BootstrapNode("192.0.2.1"), BootstrapNode("2001:db8::1", 7)),
            "turn_density": 0,
            "clients_permitted": False,
            "no_ice": True,
            "chord_update_interval": 1,
            "chord_ping_interval": 2,
            "chord_reactive": False,
            "shared_secret": "sé<cret>",
            "max_message_size": 1234,
            "initial_ttl": 5,
            "overlay_reliability_timer": 200,
            "overlay_link_protocols": ("TLS", "X"),
            "bad_nodes": (bytes(range(20)),),
            "configuration_signers": (bytes(20),),
            "kind_signers": (),
            "mandatory_extensions": (SIP,),
            "extensions": (Extension("urn:x", "y", {"a": '"<'}, "t", (Extension("urn:z", "z"),)),),
        },
    ],
)
def test_a_document_that_was_written_is_read_as_it_was(fields: dict[str, object]) -> None:
    before = configuration(**fields)
    written = write_document(before)
    after = read_configuration(written, OVERLAY)
    assert after == before
    assert not after.remarks
    assert b"\xc3\xa9" in written or not fields


def test_kinds_that_were_written_are_read_as_they_were() -> None:
    multiple = Kind(
        0xF0000002, DataModel.ARRAY, AccessControl.NODE_MULTIPLE, 2, 3, 4, extensions=(Extension("urn:x", "y"),)
    )
    kinds = [PRIVATE, multiple, *REGISTERED.values()]
    found = read_configuration(write_document(configuration(), kinds, kind_signer=kind_signer()), OVERLAY)
    read = [block.kind for block in found.kind_blocks]
    assert [attrs.evolve(kind, block=b"") for kind in read if kind] == kinds


# Hostile documents.


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<overlay/>",
        f'<overlay xmlns="{_BASE}"/>'.encode(),
        b"<a><b></a>",
        b"<a>&undefined;</a>",
        b"<p:a/>",
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + _document(),
        _document().decode().encode("utf-16"),
        _document().decode().encode("utf-16-le"),
        _document().replace(b"</overlay>", b"\xff</overlay>"),
        _document() + b"<again/>",
        b"<!DOCTYPE overlay>" + _document(),
        b'<!DOCTYPE overlay SYSTEM "http://example.org/x.dtd">' + _document(),
        b'<!DOCTYPE o [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + _document("<shared-secret>&b;</shared-secret>"),
        b'<!DOCTYPE o [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + _document("<shared-secret>&x;</shared-secret>"),
    ],
)
def test_what_is_no_document_is_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        read_configuration(octets, OVERLAY)


def test_a_document_is_bounded_in_size_depth_elements_and_prefixes() -> None:
    with pytest.raises(DecodeError, match="octets"):
        read_xml(b"<a>" + b" " * MAX_DOCUMENT + b"</a>")
    with pytest.raises(DecodeError, match="deeper"):
        read_xml(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))
    with pytest.raises(DecodeError, match="elements"):
        read_xml(b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>")
    names = "".join(f' xmlns:p{number}="urn:{number}"' for number in range(MAX_PREFIXES + 1))
    with pytest.raises(DecodeError, match="prefixes"):
        read_xml(f"<a{names}/>".encode())


@given(st.data())
def test_a_document_that_was_changed_anywhere_is_refused_or_read_without_another_error(data: st.DataObject) -> None:
    octets = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(DecodeError):
        read_configuration(bytes(octets), OVERLAY)


def test_a_root_certificate_that_is_none_does_not_count() -> None:
    found = read_configuration(
        write_document(configuration(root_certificates=(b"x", authority().certificate))), OVERLAY
    )
    assert found.root_certificates == (authority().certificate,)
    assert len(found.remarks) == 1
    nobody = read_configuration(write_document(configuration(root_certificates=(b"x",))), OVERLAY)
    assert Capabilities().obstacles(nobody) == ("no root-cert of it can be used",)


def test_a_document_that_was_written_declares_its_encoding() -> None:
    assert write_document(configuration()).startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
