"""A storage with a placement to set, and what to store in it: values of Alice and of others, at Alice's resource."""

from collections.abc import Collection, Sequence
from typing import Any

import attrs
import pytest

from reload._presentation import decode, encode
from reload.contents import ErrorResponse
from reload.exchange import Answer
from reload.kinds import BASE_KINDS, REDIR, SIP_REGISTRATION, AccessControl, Kind
from reload.naming import resource_id
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Signer, Verifier
from reload.security_block import (
    GenericCertificate,
    Signature,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from reload.signing import data_input, value_octets
from reload.storage import Copy, Storage, StoreAccepted, StoreOutcome
from reload.storage_messages import (
    APPEND,
    STORED_DATA,
    ArrayEntry,
    ArrayRange,
    ArraySpecifier,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionarySpecifier,
    FetchReq,
    SingleSpecifier,
    StoredData,
    StoredDataSpecifier,
    StoredDataValue,
    StoreKindData,
    StoreReq,
)
from reload.topology import Placement

EPOCH = 1_700_000_000.0
ALICE = NullSigner(b"\xa1" * 16, "alice@example.org")
ALICE_TOO = NullSigner(b"\xa2" * 16, "alice@example.org")
BOB = NullSigner(b"\xb0" * 16, "bob@example.org")
PEER = NullSigner(b"\xee" * 16)
HOME = resource_id(b"alice@example.org")
SINGLE = Kind(0xF0000001, DataModel.SINGLE, AccessControl.USER_MATCH, 1, 100)
ARRAY = Kind(0xF0000002, DataModel.ARRAY, AccessControl.USER_MATCH, 4, 100)
DICTIONARY = Kind(0xF0000003, DataModel.DICTIONARY, AccessControl.USER_MATCH, 4, 100)
OWN_KEY = Kind(0xF0000004, DataModel.DICTIONARY, AccessControl.USER_NODE_MATCH, 4, 100)
KINDS = BASE_KINDS.updated([SINGLE, ARRAY, DICTIONARY, OWN_KEY, SIP_REGISTRATION, REDIR])
UNSIGNED = Signature(SignatureAndHashAlgorithm(0, 0), SignerIdentity(SignerIdentityType.NONE, None), b"")


class Where:
    """A placement that says what a test has told it."""

    def __init__(self) -> None:
        self.responsible = True
        self.senders: tuple[bytes, ...] = (PEER.node_id,)
        self.replicas: tuple[bytes, ...] = (b"\x01" * 16, b"\x02" * 16)

    def is_responsible(self, resource_id: bytes) -> bool:
        return self.responsible

    def owner(self, resource_id: bytes) -> bytes | None:
        return None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        return self.replicas

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        return any(sender in self.senders for sender in senders)

    def keeps(self, resource_id: bytes) -> bool:
        return True


_FITS: type[Placement] = Where


def there(octets: bytes) -> DataValue:
    return DataValue(exists=True, value=octets)


GONE = DataValue(exists=False, value=b"")


def entry(index: int, octets: bytes) -> ArrayEntry:
    return ArrayEntry(index, there(octets))


def item(key: bytes, octets: bytes) -> DictionaryEntry:
    return DictionaryEntry(key, there(octets))


def signed(
    kind: Kind, value: StoredDataValue, *, time: int, lifetime: int = 100, by: Signer = ALICE, at: bytes = HOME
) -> bytes:
    """StoredData, signed."""
    signature = by.sign(data_input(at, kind.id, time, value_octets(value)))
    return encode(STORED_DATA[kind.data_model](time, lifetime, value, signature))


def of(kind: Kind, *values: bytes, generation: int = 0) -> StoreKindData:
    return StoreKindData(kind.id, generation, values)


def everything(kind: Kind, generation: int = 0) -> StoredDataSpecifier:
    """All values of a Kind are wanted."""
    specifier: SingleSpecifier | ArraySpecifier | DictionarySpecifier
    match kind.data_model:
        case DataModel.SINGLE:
            specifier = SingleSpecifier()
        case DataModel.ARRAY:
            specifier = ArraySpecifier((ArrayRange(0, APPEND),))
        case DataModel.DICTIONARY:
            specifier = DictionarySpecifier(())
    return StoredDataSpecifier(kind.id, generation, encode(specifier))


class Peer:
    """A storage, the placement it asks, and verbs that are short."""

    def __init__(self, *, verifier: Verifier | None = None, **options: Any) -> None:
        self.where = Where()
        self.verifier = verifier or NullVerifier()
        self.storage = Storage(options.pop("kinds", KINDS), self.where, epoch=EPOCH, **options)

    def store(
        self,
        *data: StoreKindData,
        at: bytes = HOME,
        by: Signer = ALICE,
        replica: int = 0,
        with_signers: Sequence[Signer] = (ALICE, ALICE_TOO, BOB),
        certificates: Sequence[GenericCertificate] = (),
        now: float = 0.0,
    ) -> StoreOutcome:
        """A Store by the signer `by`; `with_signers` have their certificates in the bucket too."""
        bucket = [each for signer in (by, *with_signers) for each in signer.certificates]
        identity = attrs.evolve(
            self.verifier.identify(by.certificates[0].certificate, by.certificates, EPOCH + now), node_id=by.node_id
        )
        return self.storage.store(
            StoreReq(at, replica, data),
            signer=identity,
            certificates=(*bucket, *certificates),
            verifier=self.verifier,
            now=now,
        )

    def replicate(self, *data: StoreKindData, **options: Any) -> StoreOutcome:
        """The same as a replica, from the peer that may send them."""
        return self.store(*data, by=PEER, replica=1, **options)

    def read(self, kind: Kind, *, at: bytes = HOME, now: float = 0.0) -> list[StoredData]:
        """All values, synthetic ones too."""
        answer = self.storage.fetch(FetchReq(at, (everything(kind),)), now)
        assert isinstance(answer, Answer), answer
        (response,) = answer.body.kind_responses
        return [decode(STORED_DATA[kind.data_model], octets) for octets in response.values]

    def values(self, kind: Kind, *, at: bytes = HOME, now: float = 0.0) -> list[bytes | None]:
        """What is there; None for what does not exist."""
        found = []
        for each in self.read(kind, at=at, now=now):
            value = each.value if isinstance(each.value, DataValue) else each.value.value
            found.append(value.value if value.exists else None)
        return found

    def generation(self, kind: Kind, *, at: bytes = HOME, now: float = 0.0) -> int:
        answer = self.storage.fetch(FetchReq(at, (everything(kind),)), now)
        assert isinstance(answer, Answer), answer
        counter: int = answer.body.kind_responses[0].generation
        return counter

    def state(self) -> bytes:
        """All of it, for comparison."""
        return self.storage.snapshot(0.0)


@pytest.fixture
def fresh_peer() -> Peer:
    """One that has stored nothing yet."""
    return Peer()


def changed(outcome: StoreOutcome) -> Copy | None:
    """What is to be replicated, of a Store that must have been accepted."""
    assert isinstance(outcome, StoreAccepted), outcome
    return outcome.changed


def generations(outcome: StoreOutcome) -> dict[int, int]:
    """What the answer says, of a Store that must have been accepted."""
    assert isinstance(outcome, StoreAccepted), outcome
    return {each.kind: each.generation_counter for each in outcome.answer.body.kind_responses}


def error(outcome: object) -> int:
    """The code of an error that must be one."""
    assert isinstance(outcome, ErrorResponse), outcome
    return outcome.error_code
