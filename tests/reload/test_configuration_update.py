"""Which configuration is in force: sequences, signatures, and what an update changes."""

import base64

import attrs
import pytest
from reload_configurations import PRIVATE, configuration, configuration_signer, document, in_force, kind_signer
from reload_identities import NOW, OVERLAY, authority, enrolled, issue, key, node_id, self_signed

import reload.configuration_update
from reload._presentation import encode
from reload.configuration import read_configuration
from reload.configuration_update import (
    Accepted,
    Capabilities,
    Refused,
    UpdatesSent,
    decide_document,
    decide_update,
    is_newer,
    put_in_force,
    sequence_error,
)
from reload.configuration_writer import write_document, write_kind_block
from reload.contents import ErrorCode
from reload.errors import SecurityError
from reload.kind_blocks import accept_kind, read_kind_blocks
from reload.kinds import BASE_KINDS, CERTIFICATE_BY_NODE, AccessControl, Extension, Kind, KindTable
from reload.methods import ConfigUpdateReq, ConfigUpdateType
from reload.null_security import NullVerifier
from reload.security_block import SecurityBlock
from reload.signing import KeySigner
from reload.storage_messages import DataModel

_OTHER = Kind(0xF0000005, DataModel.ARRAY, AccessControl.NODE_MATCH, 4, 40)


def _update(octets: bytes) -> ConfigUpdateReq:
    return ConfigUpdateReq(ConfigUpdateType.CONFIG, octets)


def _kinds(*kinds: Kind, signer: KeySigner | None = None) -> ConfigUpdateReq:
    return ConfigUpdateReq(
        ConfigUpdateType.KIND, tuple(write_kind_block(kind, signer or kind_signer()) for kind in kinds)
    )


def _accepted(result: Accepted | Refused) -> Accepted:
    assert isinstance(result, Accepted), result
    return result


def _refused(result: Accepted | Refused) -> ErrorCode:
    assert isinstance(result, Refused)
    assert result.reason
    return result.error_code


# Sequences.


@pytest.mark.parametrize(
    ("sequence", "than", "newer"),
    [
        (1, 0, True),
        (0, 1, False),
        (7, 7, False),
        (0, 65534, True),  # 65535 is none: 0 follows on 65534
        (65534, 0, False),
        (32767, 0, True),
        (32768, 0, False),
        (0, 32768, True),
        (0, 32767, False),
        (100, 65500, True),
    ],
)
def test_a_sequence_is_newer_by_at_most_half_of_all_modulo_65535(sequence: int, than: int, newer: bool) -> None:
    assert is_newer(sequence, than) is newer


@pytest.mark.parametrize(
    ("sequence", "own", "is_config_update", "error"),
    [
        (5, 5, False, None),
        (4, 5, False, ErrorCode.CONFIG_TOO_OLD),
        (6, 5, False, ErrorCode.CONFIG_TOO_NEW),
        (0, 65534, False, ErrorCode.CONFIG_TOO_NEW),
        (65534, 0, False, ErrorCode.CONFIG_TOO_OLD),
        (65535, 5, True, None),
        (65535, 0, False, ErrorCode.CONFIG_TOO_OLD),  # although 65535 is 0 modulo 65535
        (65535, 5, False, ErrorCode.CONFIG_TOO_OLD),
        (4, 5, True, ErrorCode.CONFIG_TOO_OLD),
    ],
)
def test_a_request_with_another_sequence_gets_an_error(
    sequence: int, own: int, is_config_update: bool, error: ErrorCode | None
) -> None:
    assert sequence_error(sequence, own, is_config_update=is_config_update) is error


def test_a_peer_gets_one_config_update_for_each_sequence() -> None:
    sent = UpdatesSent(limit=2)
    assert sent.may_send(node_id(1), 5)
    assert not sent.may_send(node_id(1), 5)
    assert sent.may_send(node_id(1), 6)
    assert sent.may_send(node_id(2), 6)
    assert sent.may_send(node_id(3), 6)
    assert len(sent._sent) == 2


# Configurations.


def test_a_newer_configuration_of_a_configuration_signer_is_accepted() -> None:
    result = _accepted(decide_update(in_force(), _update(document(sequence=23, initial_ttl=9)), NOW))
    assert result.in_force.configuration.initial_ttl == 9
    assert (result.dropped_kinds, result.must_rejoin, result.obstacles) == ((), False, ())


def test_the_sequence_goes_on_from_65534_to_0() -> None:
    assert _accepted(decide_update(in_force(sequence=65534), _update(document(sequence=0)), NOW))


@pytest.mark.parametrize("sequence", [22, 21, 0])
def test_a_configuration_rollback_is_refused(sequence: int) -> None:
    """Its signature is good: it was in force once."""
    result = decide_update(in_force(), _update(document(sequence=sequence)), NOW)
    assert _refused(result) == ErrorCode.CONFIG_TOO_OLD


def test_an_unsigned_configuration_is_refused() -> None:
    result = decide_update(in_force(), _update(write_document(configuration(sequence=23))), NOW)
    assert _refused(result) == ErrorCode.FORBIDDEN


def test_a_configuration_of_a_wrong_signer_is_refused() -> None:
    for signer in (kind_signer(), enrolled(1)):
        assert (
            _refused(decide_update(in_force(), _update(document(sequence=23, signer=signer)), NOW))
            == ErrorCode.FORBIDDEN
        )


def test_a_configuration_that_names_its_own_signer_is_refused() -> None:
    """The configuration-signers of the previous one count, and its root-certs."""
    own = document(sequence=23, signer=enrolled(1), configuration_signers=(node_id(1),))
    assert _refused(decide_update(in_force(), _update(own), NOW)) == ErrorCode.FORBIDDEN
    foreign = KeySigner(key("thief"), [issue([node_id(100)], by=authority("other"), name="thief")], OVERLAY)
    roots = (authority("other").certificate,)
    forged = write_document(configuration(sequence=23, root_certificates=roots), signers=[foreign])
    assert _refused(decide_update(in_force(), _update(forged), NOW)) == ErrorCode.FORBIDDEN


def test_one_good_signature_among_several_is_enough() -> None:
    signers = [enrolled(1), configuration_signer()]
    octets = write_document(configuration(sequence=23), signers=signers)
    octets = octets.replace(b"<signature>", b"<signature>QUJD</signature><signature>", 1)
    assert _accepted(decide_update(in_force(), _update(octets), NOW))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<initial-ttl>100<", b"<initial-ttl>101<"),
        (b"<initial-ttl>100<", b"<initial-ttl> 100<"),  # white space alone breaks the signature
        (b"  </configuration>", b" </configuration>"),
    ],
)
def test_a_configuration_with_other_octets_than_were_signed_is_refused(old: bytes, new: bytes) -> None:
    good = document(sequence=23)
    changed = good.replace(old, new)
    assert changed != good
    assert _refused(decide_update(in_force(), _update(changed), NOW)) == ErrorCode.FORBIDDEN


def test_what_stands_around_the_configuration_is_not_signed() -> None:
    octets = (
        document(sequence=23)
        .replace(b"<overlay ", b"<!-- a comment -->\n<overlay ", 1)
        .replace(b"<signature>", b"<signature>\n ")
    )
    assert _accepted(decide_update(in_force(), _update(octets), NOW))


def test_the_signature_is_a_security_block_over_the_octets_alone() -> None:
    found = read_configuration(document(), OVERLAY)
    signer = configuration_signer()
    expected = SecurityBlock(signer.certificates, signer.sign(found.octets, covers_identity=False))
    text = base64.b64encode(encode(expected))
    assert b"<signature>" + text + b"</signature>" in write_document(configuration(), signers=[signer])


def test_a_configuration_whose_signer_has_expired_is_refused() -> None:
    short = KeySigner(key("short"), [issue([node_id(100)], name="short", not_after=NOW + 5)], OVERLAY)
    octets = document(sequence=23, signer=short)
    assert _accepted(decide_update(in_force(), _update(octets), NOW))
    assert _refused(decide_update(in_force(), _update(octets), NOW + 6)) == ErrorCode.FORBIDDEN


def test_a_configuration_of_a_bad_node_is_refused() -> None:
    current = in_force(bad_nodes=(node_id(100),))
    assert _refused(decide_update(current, _update(document(sequence=23)), NOW)) == ErrorCode.FORBIDDEN


def test_a_configuration_that_has_expired_is_refused() -> None:
    octets = document(sequence=23, expiration=NOW - 1)
    assert _refused(decide_update(in_force(), _update(octets), NOW)) == ErrorCode.CONFIG_TOO_OLD


@pytest.mark.parametrize("octets", [b"", b"<a/>", document(sequence=23, instance_name="other.example.org")])
def test_a_malformed_document_and_one_of_another_overlay_are_refused(octets: bytes) -> None:
    assert _refused(decide_update(in_force(), _update(octets), NOW)) == ErrorCode.INVALID_MESSAGE


def test_an_update_of_a_type_that_is_not_known_is_refused() -> None:
    assert _refused(decide_update(in_force(), ConfigUpdateReq(9, b"x"), NOW)) == ErrorCode.INVALID_MESSAGE


def test_a_document_that_was_fetched_is_decided_on_alike() -> None:
    assert _accepted(decide_document(in_force(), document(sequence=23), NOW))
    assert _refused(decide_document(in_force(), document(), NOW)) == ErrorCode.CONFIG_TOO_OLD


# What a node then has to do.


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        ({"mandatory_extensions": ("urn:unheard",)}, "urn:unheard"),
        ({"topology_plugin": "OTHER"}, "OTHER"),
        ({"overlay_link_protocols": ("CARRIER-PIGEON",)}, "CARRIER-PIGEON"),
        ({"shared_secret": "secret"}, "shared secret"),
    ],
)
def test_a_requirement_that_cannot_be_met_is_an_obstacle(fields: dict[str, object], obstacle: str) -> None:
    result = _accepted(decide_update(in_force(), _update(document(sequence=23, **fields)), NOW))
    assert [obstacle in sentence for sentence in result.obstacles] == [True]


def test_what_a_node_can_do_is_its_own_matter() -> None:
    able = Capabilities(extensions=frozenset({"urn:heard"}), shared_secret=True)
    octets = document(sequence=23, mandatory_extensions=("urn:heard",), shared_secret="secret")
    assert _accepted(decide_update(in_force(), _update(octets), NOW, capabilities=able)).obstacles == ()


def test_an_own_certificate_that_no_longer_holds_is_an_obstacle() -> None:
    own = enrolled(5).certificates
    for fields, count in (({}, 0), ({"bad_nodes": (node_id(5),)}, 1)):
        update = _update(document(sequence=23, **fields))
        assert len(_accepted(decide_update(in_force(), update, NOW, own_certificates=own)).obstacles) == count


@pytest.mark.parametrize(
    ("fields", "must_rejoin"),
    [
        ({"max_message_size": 6000}, False),
        ({"no_ice": True}, True),
        ({"topology_plugin": "CHORD-SELF-TUNING"}, True),
        ({"overlay_link_protocols": ("TLS", "X")}, True),
    ],
)
def test_another_topology_and_other_links_mean_to_join_again(fields: dict[str, object], must_rejoin: bool) -> None:
    result = _accepted(decide_update(in_force(), _update(document(sequence=23, **fields)), NOW))
    assert result.must_rejoin is must_rejoin


def test_a_new_root_is_trusted_from_then_on_and_the_old_one_no_more() -> None:
    new_root = (authority("other").certificate,)
    result = _accepted(decide_update(in_force(), _update(document(sequence=23, root_certificates=new_root)), NOW))
    verifier = result.in_force.verifier
    assert verifier.identify(issue([node_id(1)], by=authority("other")), (), NOW)
    with pytest.raises(SecurityError):
        verifier.identify(issue([node_id(1)]), (), NOW)


# Kinds.


def test_the_kinds_of_a_configuration_are_known_with_their_signer() -> None:
    table = in_force([PRIVATE]).kinds
    assert set(table) == {*BASE_KINDS, PRIVATE.id}
    assert attrs.evolve(table[PRIVATE.id], block=b"") == attrs.evolve(PRIVATE, signer=node_id(200))


def test_kinds_of_a_configuration_need_the_signature_of_a_kind_signer() -> None:
    for signer in (None, configuration_signer()):
        octets = write_document(
            configuration(sequence=23), [PRIVATE], signers=[configuration_signer()], kind_signer=signer
        )
        with pytest.raises(SecurityError):
            put_in_force(read_configuration(octets, OVERLAY), NOW)
        assert _refused(decide_update(in_force(), _update(octets), NOW)) == ErrorCode.FORBIDDEN


def test_a_kind_whose_octets_were_changed_is_refused() -> None:
    good = write_kind_block(PRIVATE, kind_signer())
    changed = good.replace(b"<max-size>100<", b"<max-size>999<")
    result = decide_update(in_force(), ConfigUpdateReq(ConfigUpdateType.KIND, (changed,)), NOW)
    assert _refused(result) == ErrorCode.FORBIDDEN


def test_a_kind_is_learned_from_its_block_alone() -> None:
    result = _accepted(decide_update(in_force(), _kinds(PRIVATE, _OTHER), NOW))
    assert set(result.in_force.kinds) == {*BASE_KINDS, PRIVATE.id, _OTHER.id}
    assert set(result.in_force.learned) == {PRIVATE.id, _OTHER.id}


@pytest.mark.parametrize("signer", [configuration_signer(), enrolled(3)])
def test_a_kind_of_a_wrong_signer_is_refused(signer: KeySigner) -> None:
    assert _refused(decide_update(in_force(), _kinds(PRIVATE, signer=signer), NOW)) == ErrorCode.FORBIDDEN


def test_an_unsigned_kind_is_refused() -> None:
    update = ConfigUpdateReq(ConfigUpdateType.KIND, (write_kind_block(PRIVATE),))
    assert _refused(decide_update(in_force(), update, NOW)) == ErrorCode.FORBIDDEN


def test_kinds_are_learned_all_or_none() -> None:
    good, bad = write_kind_block(PRIVATE, kind_signer()), write_kind_block(_OTHER, enrolled(3))
    assert isinstance(decide_update(in_force(), ConfigUpdateReq(2, (good, bad)), NOW), Refused)


def test_a_kind_that_is_known_from_another_signer_is_refused() -> None:
    signers = (node_id(200), node_id(100))
    current = _accepted(decide_update(in_force(kind_signers=signers), _kinds(PRIVATE), NOW)).in_force
    again = _kinds(attrs.evolve(PRIVATE, max_size=7), signer=configuration_signer())
    assert _refused(decide_update(current, again, NOW)) == ErrorCode.FORBIDDEN
    same = _accepted(decide_update(current, _kinds(attrs.evolve(PRIVATE, max_size=7)), NOW))
    assert same.in_force.kinds[PRIVATE.id].max_size == 7


def test_a_kind_of_the_configuration_is_not_rolled_back_by_an_old_block() -> None:
    old = _kinds(attrs.evolve(PRIVATE, max_size=7))
    assert _refused(decide_update(in_force([PRIVATE]), old, NOW)) == ErrorCode.FORBIDDEN
    again = _accepted(decide_update(in_force([PRIVATE]), _kinds(PRIVATE), NOW))
    assert again.in_force.learned == KindTable()


def test_a_kind_is_dropped_when_its_signer_may_sign_no_more() -> None:
    current = _accepted(decide_update(in_force([PRIVATE]), _kinds(_OTHER), NOW)).in_force
    kept = _accepted(decide_update(current, _update(document([PRIVATE], sequence=23)), NOW))
    assert kept.dropped_kinds == ()
    assert _OTHER.id in kept.in_force.kinds
    new = document(sequence=23, kind_signers=(node_id(201),))
    result = _accepted(decide_update(current, _update(new), NOW))
    assert result.dropped_kinds == (PRIVATE.id, _OTHER.id)
    assert set(result.in_force.kinds) == set(BASE_KINDS)


def test_a_kind_that_the_new_configuration_leaves_out_is_dropped() -> None:
    result = _accepted(decide_update(in_force([PRIVATE]), _update(document(sequence=23)), NOW))
    assert result.dropped_kinds == (PRIVATE.id,)


def test_a_kind_that_an_allowed_signer_has_signed_anew_keeps_its_data() -> None:
    signer = enrolled(201, name="new kind-signer")
    octets = write_document(
        configuration(sequence=23, kind_signers=(node_id(201),)),
        [PRIVATE],
        signers=[configuration_signer()],
        kind_signer=signer,
    )
    result = _accepted(decide_update(in_force([PRIVATE]), _update(octets), NOW))
    assert result.dropped_kinds == ()
    assert result.in_force.kinds[PRIVATE.id].signer == node_id(201)


def test_limits_of_a_base_kind_fall_with_their_signer() -> None:
    mine = attrs.evolve(CERTIFICATE_BY_NODE, max_count=2)
    current = in_force([mine])
    assert current.kinds[3].max_count == 2
    result = _accepted(decide_update(current, _update(document(sequence=23, kind_signers=())), NOW))
    assert result.dropped_kinds == (3,)
    assert result.in_force.kinds[3] == CERTIFICATE_BY_NODE


def test_a_configuration_overrides_what_was_learned_of_a_kind() -> None:
    current = _accepted(decide_update(in_force(), _kinds(attrs.evolve(PRIVATE, max_size=7)), NOW)).in_force
    after = _accepted(decide_update(current, _update(document([PRIVATE], sequence=23)), NOW)).in_force
    assert after.kinds[PRIVATE.id].max_size == 100
    assert after.learned == KindTable()


@pytest.mark.parametrize("description", [b"", b"<a/>", b"text", b"<kind-block/>", b"</kinds><kinds>", b"<kind-block>"])
def test_a_description_that_is_no_kind_block_is_refused(description: bytes) -> None:
    update = ConfigUpdateReq(ConfigUpdateType.KIND, (description,))
    assert _refused(decide_update(in_force(), update, NOW)) == ErrorCode.INVALID_MESSAGE


def test_learned_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.configuration_update, "MAX_LEARNED_KINDS", 1)
    assert _refused(decide_update(in_force(), _kinds(PRIVATE, _OTHER), NOW)) == ErrorCode.FORBIDDEN


def test_the_block_of_a_kind_stands_alone_with_the_namespaces_of_its_document() -> None:
    """As in a ConfigUpdate that answers Error_Unknown_Kind: the signed octets are the same, and still readable."""
    plain = document([attrs.evolve(PRIVATE, extensions=(Extension("urn:x", "y"),))]).decode()
    first = plain.replace("<overlay ", '<overlay xmlns:x="urn:x" xmlns:k0="urn:k" ', 1)
    for name in ("kind ", "/kind>", "max-", "/max-", "data-", "/data-", "access-", "/access-"):
        slash, bare = ("/" if name[0] == "/" else ""), name.lstrip("/")
        first = first.replace(f"<{name}", f"<{slash}b:{bare}")
    base = "urn:ietf:params:xml:ns:p2p:config-base"
    second = first.replace("<required-kinds>", f'<required-kinds xmlns:b="{base}">').replace(
        "b:max-message", "max-message"
    )
    for text in (plain, second):
        blocks = read_configuration(text.encode(), OVERLAY).kind_blocks
        assert blocks[0].kind is not None
        (alone,) = read_kind_blocks(blocks[0].kind.block)
        assert alone.signed == blocks[0].signed
        assert alone.signature == blocks[0].signature


def test_a_block_under_another_default_namespace_still_stands_alone() -> None:
    base = "urn:ietf:params:xml:ns:p2p:config-base"
    signer = kind_signer()
    inner = (
        "<k0:data-model>SINGLE</k0:data-model><k0:access-control>USER-MATCH</k0:access-control>"
        "<k0:max-count>1</k0:max-count><k0:max-size>1</k0:max-size><foreign/>"
    )
    signed = f'<k0:kind id="9">{inner}</k0:kind>'.encode()
    block = encode(SecurityBlock(signer.certificates, signer.sign(signed, covers_identity=False)))
    text = base64.b64encode(block).decode()
    outer = (
        f'<k0:kind-block xmlns="urn:foreign" xmlns:k0="{base}">{signed.decode()}'
        f"<k0:kind-signature>{text}</k0:kind-signature></k0:kind-block>"
    )
    (first,) = read_kind_blocks(outer.encode())
    assert first.kind is not None
    (alone,) = read_kind_blocks(first.kind.block)
    kind = accept_kind(alone, in_force().verifier, [node_id(200)], NOW)
    assert kind.extensions == (Extension("urn:foreign", "foreign"),)
    assert kind.signer == node_id(200)


def test_a_kind_that_cannot_be_supported_is_not_learned() -> None:
    octets = write_kind_block(attrs.evolve(PRIVATE, name="UNHEARD"), kind_signer())
    update = ConfigUpdateReq(ConfigUpdateType.KIND, (octets,))
    assert _refused(decide_update(in_force(), update, NOW)) == ErrorCode.FORBIDDEN


def test_a_simulation_may_bring_its_own_verifier() -> None:
    made = put_in_force(configuration(), NOW, make_verifier=lambda trust: NullVerifier())
    assert isinstance(made.verifier, NullVerifier)


def test_self_signed_certificates_of_signers_count_where_they_are_permitted() -> None:
    signer = KeySigner(key("self"), [self_signed("self")], OVERLAY)
    fields = {
        "root_certificates": (),
        "self_signed_permitted": True,
        "self_signed_digest": "sha256",
        "configuration_signers": (signer.node_id,),
        "kind_signers": (signer.node_id,),
    }
    first = put_in_force(configuration(**fields), NOW)
    octets = write_document(configuration(sequence=23, **fields), [PRIVATE], signers=[signer], kind_signer=signer)
    assert _accepted(decide_update(first, _update(octets), NOW)).in_force.kinds[PRIVATE.id].signer == signer.node_id
