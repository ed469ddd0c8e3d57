"""Configurations and documents for tests, signed by the identities of `reload_identities`."""

from collections.abc import Iterable
from pathlib import Path

from reload_identities import NOW, OVERLAY, authority, enrolled, node_id

from reload.configuration import Configuration, read_configuration
from reload.configuration_update import InForce, put_in_force
from reload.configuration_writer import write_document
from reload.kinds import AccessControl, Kind
from reload.signing import KeySigner
from reload.storage_messages import DataModel

DATA = Path(__file__).parents[1] / "data" / "reload"
SAMPLE = (DATA / "rfc6940_configuration.xml").read_bytes()
PRIVATE = Kind(0xF0000001, DataModel.SINGLE, AccessControl.USER_MATCH, 1, 100)


def configuration_signer() -> KeySigner:
    return enrolled(100, name="configuration-signer")


def kind_signer() -> KeySigner:
    return enrolled(200, name="kind-signer")


def configuration(**fields: object) -> Configuration:
    defaults: dict[str, object] = {
        "instance_name": OVERLAY,
        "sequence": 22,
        "expiration": NOW + 10_000,
        "root_certificates": (authority().certificate,),
        "configuration_signers": (node_id(100),),
        "kind_signers": (node_id(200),),
    }
    return Configuration(**{**defaults, **fields})  # type: ignore[arg-type]


def document(kinds: Iterable[Kind] = (), *, signer: KeySigner | None = None, **fields: object) -> bytes:
    """A document of this configuration, signed by the configuration-signer unless another one is given."""
    return write_document(
        configuration(**fields), kinds, signers=[signer or configuration_signer()], kind_signer=kind_signer()
    )


def in_force(kinds: Iterable[Kind] = (), **fields: object) -> InForce:
    return put_in_force(read_configuration(document(kinds, **fields), OVERLAY), NOW)
