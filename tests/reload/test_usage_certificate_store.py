"""The certificate store: a certificate by user name and by Node-ID (RFC 6940 section 8), with real certificates."""

import attrs
import pytest
from reload_dht import Dht, drive, failed, identity
from reload_identities import ALICE, NOW, OVERLAY, authority, issue, node_id

from reload._chain import Trust
from reload.contents import ErrorCode
from reload.kinds import CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER
from reload.naming import resource_id
from reload.operations import Failed, Fetch, Fetched, KindValues, Plan, Store, StoredValue, Wanted
from reload.ports import Identity
from reload.reading import NO_SIGNATURE
from reload.signing import OverlayVerifier
from reload.storage_messages import APPEND, ArrayEntry, ArrayRange, ArraySpecifier, DataValue, StoredArrayEntry
from reload.usages.certificate_store import OwnCertificate, certificates_of_node, certificates_of_user
from reload.usages.publication import Publication

BY_USER, BY_NODE = resource_id(ALICE.encode()), resource_id(node_id(1))


def verifier() -> OverlayVerifier:
    return OverlayVerifier(Trust(OVERLAY, root_certificates=(authority().certificate,)))


def issued(number: int = 1, user_name: str | None = ALICE, **parameters: float) -> Identity:
    certificate = issue([node_id(number)], user_name, **parameters)  # type: ignore[arg-type]
    return Identity(node_id(number), (node_id(number),), user_name, certificate)


def publish(dht: Dht, who: Identity, **parameters: int) -> OwnCertificate:
    own = OwnCertificate(who, **parameters)
    assert dht.run(own.store(), who)
    return own


def of_user(dht: Dht, user_name: str = ALICE, wall: float = NOW) -> list[bytes]:
    return certificates(dht, certificates_of_user(user_name, verifier(), wall))


def of_node(dht: Dht, number: int = 1, wall: float = NOW) -> list[bytes]:
    return certificates(dht, certificates_of_node(node_id(number), verifier(), wall))


def certificates(dht: Dht, plan: Plan[tuple[Identity, ...] | Failed]) -> list[bytes]:
    found = dht.run(plan, identity(node_id(9)))
    assert not isinstance(found, Failed)
    return [each.certificate for each in found]


def test_a_certificate_is_appended_as_bare_der_at_the_hashes_of_user_name_and_node_id() -> None:
    dht = Dht()
    who = issued()
    publish(dht, who)
    stores = [each for each in dht.operations if isinstance(each, Store)]
    assert [(each.resource_id, each.values[0].kind) for each in stores] == [
        (BY_USER, CERTIFICATE_BY_USER.id),
        (BY_NODE, CERTIFICATE_BY_NODE.id),
    ]
    for store in stores:
        (new,) = store.values
        assert new.value == ArrayEntry(APPEND, DataValue(True, who.certificate))
        assert new.lifetime == 86_400
    assert [each.wanted for each in dht.operations if isinstance(each, Fetch)] == [
        (Wanted(kind.id, ArraySpecifier((ArrayRange(0, APPEND),))),)
        for kind in (CERTIFICATE_BY_USER, CERTIFICATE_BY_NODE)
    ]
    assert of_user(dht) == of_node(dht) == [who.certificate]


def test_a_certificate_without_a_user_name_is_found_by_its_node_id_only() -> None:
    dht = Dht()
    who = issued(user_name=None)
    publish(dht, who)
    assert dht.count(Store) == 1
    assert of_node(dht) == [who.certificate]


def test_a_new_certificate_comes_behind_the_old_one_and_is_found_first() -> None:
    dht = Dht()
    old, new = issued(), issued(not_after=NOW + 50_000)
    assert old.certificate != new.certificate
    publish(dht, old)
    publish(dht, new)
    assert of_user(dht) == of_node(dht) == [new.certificate, old.certificate]


def test_a_refresh_stores_it_where_it_is_and_adds_nothing() -> None:
    dht = Dht()
    old, new = issued(), issued(not_after=NOW + 50_000)
    publication = Publication(OwnCertificate(old, lifetime=1000))
    publication.start(0.0)
    for dht.now in (0.0, 900.0, 1800.0):
        plan = publication.handle_timer(dht.now)
        assert plan is not None
        assert dht.run(plan, old)
        publish(dht, new, lifetime=1000)
    dht.now = 2700.0
    assert of_user(dht) == of_node(dht) == [new.certificate, old.certificate]
    values = [store.values[0].value for store in dht.operations if isinstance(store, Store)]
    assert [value.index for value in values if isinstance(value, ArrayEntry)] == [APPEND] * 4 + [0, 0, 1, 1] * 2


def test_a_refresh_holds_only_while_the_array_is_as_it_was() -> None:
    dht, who = Dht(), issued()
    publish(dht, who)
    publish(dht, who)
    generations = [store.values[0].generation for store in dht.operations if isinstance(store, Store)]
    assert generations == [0, 0, 1, 1]


def test_removing_takes_away_the_own_certificate_and_no_other() -> None:
    dht = Dht()
    old, new = issued(), issued(not_after=NOW + 50_000)
    first = publish(dht, old)
    publish(dht, new)
    assert dht.run(first.remove(), old)
    assert of_user(dht) == of_node(dht) == [new.certificate]
    dht.operations.clear()
    assert dht.run(first.remove(), old)
    assert dht.count(Store) == 0


def test_a_fetch_that_fails_keeps_it_from_being_stored_twice() -> None:
    dht = Dht()
    dht.refuse = lambda operation: failed() if isinstance(operation, Fetch) else None
    assert not dht.run(OwnCertificate(issued()).store(), issued())
    assert dht.count(Store) == 0


def test_a_resource_that_is_not_found_is_an_empty_array() -> None:
    dht = Dht()
    dht.refuse = lambda operation: failed(ErrorCode.NOT_FOUND) if isinstance(operation, Fetch) else None
    assert dht.run(OwnCertificate(issued()).store(), issued())
    assert of_user(dht) == []


def test_a_fetch_that_fails_is_told() -> None:
    dht = Dht()
    dht.refuse = lambda operation: failed()
    for plan in (certificates_of_user(ALICE, verifier(), NOW), certificates_of_node(node_id(1), verifier(), NOW)):
        assert dht.run(plan, identity(node_id(9))) == failed()


def array(*values: tuple[bytes, Identity | None], exists: bool = True) -> Fetched:
    entries = tuple(
        StoredValue(StoredArrayEntry(1, 1, ArrayEntry(index, DataValue(exists, der)), NO_SIGNATURE), signer)
        for index, (der, signer) in enumerate(values)
    )
    return Fetched({kind.id: KindValues(kind.id, 1, entries) for kind in (CERTIFICATE_BY_USER, CERTIFICATE_BY_NODE)})


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30\x03abc",
        issue([node_id(1)], by=authority("stranger")),
        issue([node_id(1)], not_before=NOW + 10, not_after=NOW + 20),
        issue([node_id(1)], overlay="other.example"),
    ],
)
def test_a_certificate_that_is_not_valid_in_the_overlay_is_left_out(der: bytes) -> None:
    signer = issued()
    for plan in (certificates_of_user(ALICE, verifier(), NOW), certificates_of_node(node_id(1), verifier(), NOW)):
        assert drive(plan, [array((der, signer))]) == ()


def test_a_valid_certificate_of_somebody_else_is_left_out() -> None:
    der, signer = issue([node_id(2)], "bob@example.org"), issued()
    for plan in (certificates_of_user(ALICE, verifier(), NOW), certificates_of_node(node_id(1), verifier(), NOW)):
        assert drive(plan, [array((der, signer))]) == ()


def test_synthetic_and_removed_values_are_no_certificates() -> None:
    der, signer = issued().certificate, issued()
    for answer in (array((der, None)), array((der, signer), exists=False)):
        assert drive(certificates_of_user(ALICE, verifier(), NOW), [answer]) == ()


def test_a_certificate_that_stands_there_twice_is_found_once() -> None:
    who, signer = issued(), issued(not_after=NOW + 50_000)
    found = drive(
        certificates_of_user(ALICE, verifier(), NOW), [array((who.certificate, signer), (who.certificate, signer))]
    )
    assert isinstance(found, tuple)
    assert [each.certificate for each in found] == [who.certificate]


def test_a_certificate_with_several_node_ids_is_found_with_the_one_that_was_sought() -> None:
    der = issue([node_id(1), node_id(2)])
    signer = Identity(node_id(1), (node_id(1), node_id(2)), ALICE, der)
    found = drive(certificates_of_node(node_id(2), verifier(), NOW), [array((der, signer))])
    assert found == (attrs.evolve(signer, node_id=node_id(2)),)


def test_the_certificate_of_a_value_s_signer_was_verified_with_the_value() -> None:
    # Below an authority that is not a root, and whose certificate is not stored beside it.
    signer = Identity(node_id(1), (node_id(1),), ALICE, b"verified with the certificates of the answer")
    assert drive(certificates_of_user(ALICE, verifier(), NOW), [array((signer.certificate, signer))]) == (signer,)
