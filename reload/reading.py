"""The user's side of Fetch, Stat and Find: what to ask, and what of an answer to believe (RFC 6940 section 7.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs

from reload._presentation import decode, encode
from reload.errors import DecodeError, SecurityError, StateError
from reload.exchange import Response
from reload.kinds import Kind
from reload.operations import Failed, Fetch, Fetched, Find, Found, KindValues, Metadata, Stat, StoredValue, Wanted
from reload.policies import Policy, ValueCheck, standard_policies
from reload.ports import Identity, Verifier
from reload.security_block import (
    GenericCertificate,
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    SignatureAndHashAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from reload.signing import data_input, value_octets
from reload.storage_messages import (
    SPECIFIERS,
    STORED_DATA,
    ArrayEntry,
    ArrayEntryMeta,
    ArraySpecifier,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    DictionarySpecifier,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    FindAns,
    FindReq,
    MetaData,
    Specifier,
    StatAns,
    StoredData,
    StoredDataSpecifier,
    StoredDataValue,
    StoredMetaData,
)
from reload.stored_data import decode_metadata, decode_specifier

MAX_FIND_KINDS = 63
"""As many Kind-IDs as fit into the length of one octet."""
RESOURCE_ID_LENGTH = 16
"""Of the zeros that stand for no Resource-ID (section 10.2)."""
NO_SIGNATURE = Signature(
    SignatureAndHashAlgorithm(HashAlgorithm.NONE, SignatureAlgorithm.ANONYMOUS),
    SignerIdentity(SignerIdentityType.NONE, None),
    b"",
)
"""Of a synthetic value: the answerer has none there (section 7.4.2.2)."""

Location: TypeAlias = int | bytes | None
"""Where in a Kind a value stands: the index in an array, the key in a dictionary."""


def location(value: StoredDataValue | MetaData | ArrayEntryMeta | DictionaryEntryMeta) -> Location:
    """Where in its Kind a value stands."""
    match value:
        case ArrayEntry() | ArrayEntryMeta():
            return value.index
        case DictionaryEntry() | DictionaryEntryMeta():
            return value.key
    return None


def content(value: StoredDataValue) -> DataValue:
    """The value itself, without where it stands."""
    return value if isinstance(value, DataValue) else value.value


@attrs.frozen
class Reader:
    """Asks for values, and believes those that whoever may write them has signed.

    `policies` and `checks` are those that a `Storage` takes: what no peer should have stored is not read either.
    """

    kinds: Mapping[int, Kind]
    verifier: Verifier
    policies: Mapping[str, Policy] = attrs.field(factory=standard_policies)
    checks: Mapping[int, ValueCheck] = attrs.field(factory=dict)
    node_id_length: int = 16

    def request(self, operation: Fetch | Stat) -> FetchReq:
        """The body of a Fetch, or of a Stat.

        Raises StateError for a Kind that is not known, or wanted twice, and a specifier that does not fit it;
        EncodeError.
        """
        numbers = [wanted.kind for wanted in operation.wanted]
        if not numbers or len(set(numbers)) < len(numbers):
            raise StateError("Fetch: one or more Kinds, and each once")
        return FetchReq(operation.resource_id, tuple(self._specifier(wanted) for wanted in operation.wanted))

    def fetched(self, operation: Fetch, response: Response, wall: float) -> Fetched | Failed:
        """What a FetchAns shows at the Unix time `wall`. Values that do not hold are left out: it is partial then."""
        answer = response.body
        obstacle = self._misfit(operation, answer.kind_responses) if isinstance(answer, FetchAns) else "not a FetchAns"
        if obstacle:
            return Failed(None, obstacle, response.identity)
        found: dict[int, KindValues] = {}
        is_partial = False
        wanted = {each.kind: each.specifier for each in operation.wanted}
        for part in answer.kind_responses:
            taken: dict[Location, StoredValue] = {}
            for octets in part.values:
                value = self.value(octets, part.kind, operation.resource_id, response.certificates, wall)
                at = None if value is None else location(value.data.value)
                if value is None or at in taken or not _is_wanted(wanted[part.kind], at):
                    is_partial = True
                else:
                    taken[at] = value
            found[part.kind] = KindValues(part.kind, part.generation, tuple(taken.values()))
        return Fetched(found, is_partial)

    def value(
        self,
        octets: bytes,
        kind_id: int,
        resource_id: bytes,
        certificates: Sequence[GenericCertificate],
        wall: float,
    ) -> StoredValue | None:
        """One StoredData without its length, of who may write it there, or synthetic; None for what is to be discarded.

        The Kind must be known.
        """
        kind = self.kinds[kind_id]
        try:
            data: StoredData = decode(STORED_DATA[kind.data_model], octets, node_id_length=self.node_id_length)
        except DecodeError:
            return None
        held = content(data.value)
        if held.value and not held.exists:
            return None
        if data.signature == NO_SIGNATURE:
            return None if held.exists else StoredValue(data, None)
        value = value_octets(data.value, node_id_length=self.node_id_length)
        covered = data_input(resource_id, kind_id, data.storage_time, value)
        try:
            signer = self.verifier.verify(data.signature, covered, certificates, wall)
        except SecurityError:
            return None
        judges = (self.policies.get(kind.access_control), self.checks.get(kind_id, _anything))
        if not all(judge is not None and judge(kind, resource_id, data.value, signer) for judge in judges):
            return None
        return StoredValue(data, signer)

    def metadata(self, operation: Stat, response: Response) -> Metadata | Failed:
        """What a StatAns says; nothing in it is signed but by the answerer."""
        answer = response.body
        obstacle = self._misfit(operation, answer.kind_responses) if isinstance(answer, StatAns) else "not a StatAns"
        if obstacle:
            return Failed(None, obstacle, response.identity)
        found: dict[int, tuple[StoredMetaData, ...]] = {}
        wanted = {each.kind: each.specifier for each in operation.wanted}
        for part in answer.kind_responses:
            try:
                values = decode_metadata(part, self.kinds, node_id_length=self.node_id_length)
            except DecodeError as exc:
                return Failed(None, f"StatAns: {exc}", response.identity)
            assert isinstance(values, tuple)  # The Kind is known.
            places = {location(value.metadata) for value in values}
            if len(places) < len(values) or not all(_is_wanted(wanted[part.kind], place) for place in places):
                return Failed(None, "StatAns: values twice, or that were not asked for", response.identity)
            found[part.kind] = values
        return Metadata(found, {part.kind: part.generation for part in answer.kind_responses})

    def _specifier(self, wanted: Wanted) -> StoredDataSpecifier:
        kind = self.kinds.get(wanted.kind)
        if kind is None:
            raise StateError(f"Fetch: Kind {wanted.kind} is not known")
        given = type(wanted.specifier)
        if given is not SPECIFIERS[kind.data_model]:
            raise StateError(f"Fetch: {given.__name__} for a Kind whose data model is {kind.data_model}")
        octets = encode(wanted.specifier, node_id_length=self.node_id_length)
        specifier = StoredDataSpecifier(wanted.kind, wanted.generation, octets)
        try:
            decode_specifier(specifier, self.kinds, node_id_length=self.node_id_length)
        except DecodeError as exc:
            raise StateError(f"Fetch: {exc}") from exc
        return specifier

    def _misfit(self, operation: Fetch | Stat, parts: Sequence[FetchKindResponse]) -> str:
        """Why an answer cannot be one: there MUST be one response for each Kind-ID, and the Kinds may have changed."""
        if sorted(part.kind for part in parts) != sorted(wanted.kind for wanted in operation.wanted):
            return "the answer is about other Kinds"
        if not all(part.kind in self.kinds for part in parts):
            return "a Kind that was asked for is no longer known"
        return ""


def _anything(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
    """What a Kind without a check of its own allows."""
    return True


def _is_wanted(specifier: Specifier, at: Location) -> bool:
    match specifier:
        case ArraySpecifier(indices):
            return isinstance(at, int) and any(each.first <= at <= each.last for each in indices)
        case DictionarySpecifier(keys):
            return not keys or at in keys
    return True


def find_request(operation: Find) -> FindReq:
    """The body of a Find. Raises StateError: each Kind MUST be there once, and 63 at most fit."""
    kinds = operation.kinds
    if not 0 < len(kinds) <= MAX_FIND_KINDS or len(set(kinds)) < len(kinds):
        raise StateError(f"Find: 1 to {MAX_FIND_KINDS} Kinds, and each once")
    return FindReq(operation.resource_id, kinds)


def read_found(operation: Find, response: Response) -> Found | Failed:
    """What a FindAns says. A Kind that may not be sought has no place in it."""
    answer = response.body
    if not isinstance(answer, FindAns):
        return Failed(None, "not a FindAns", response.identity)
    closest = {each.kind: each.closest for each in answer.results}
    if len(closest) < len(answer.results) or not closest.keys() <= set(operation.kinds):
        return Failed(None, "FindAns: Kinds twice, or that were not asked for", response.identity)
    # "0" may have no octets as well as 16 (section 7.4.4.2 does not say).
    return Found({kind: found or bytes(RESOURCE_ID_LENGTH) for kind, found in closest.items()})
