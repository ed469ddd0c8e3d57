"""The bodies of the storage messages (RFC 6940 section 7).

How a stored value, a specifier or metadata is to be read depends on the data model of its Kind, which is not on the
wire: the messages carry them as octets, so that those of unknown Kinds survive, and the structures below read them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

from reload._presentation import structure
from reload._specs import NODE_ID, OPAQUE16, OPAQUE32, U32, boolean, nested, opaque, u8, u32, u64, vector
from reload.security_block import Signature


class DataModel(StrEnum):
    """How the values of a Kind are held (section 7.2)."""

    SINGLE = "single"
    ARRAY = "array"
    DICTIONARY = "dictionary"


APPEND = 0xFFFFFFFF
"""As an index in a Store: behind the last entry; as the end of a range in a Fetch: up to the last entry."""


@structure
class DataValue:
    """A value, or that there is none."""

    exists: bool = boolean()
    value: bytes = opaque(4, default=b"")


@structure
class ArrayEntry:
    """A value of an array."""

    index: int = u32()
    value: DataValue = nested(DataValue)


@structure
class DictionaryEntry:
    """A value of a dictionary."""

    key: bytes = opaque(2)
    value: DataValue = nested(DataValue)


StoredDataValue: TypeAlias = DataValue | ArrayEntry | DictionaryEntry


@structure
class StoredSingle:
    """StoredData of a single value: `storage_time` in ms since 1970, `lifetime` in seconds from its receipt."""

    storage_time: int = u64()
    lifetime: int = u32()
    value: DataValue = nested(DataValue)
    signature: Signature = nested(Signature)


@structure
class StoredArrayEntry:
    """StoredData of an array."""

    storage_time: int = u64()
    lifetime: int = u32()
    value: ArrayEntry = nested(ArrayEntry)
    signature: Signature = nested(Signature)


@structure
class StoredDictionaryEntry:
    """StoredData of a dictionary."""

    storage_time: int = u64()
    lifetime: int = u32()
    value: DictionaryEntry = nested(DictionaryEntry)
    signature: Signature = nested(Signature)


StoredData: TypeAlias = StoredSingle | StoredArrayEntry | StoredDictionaryEntry
STORED_DATA: dict[DataModel, type[Any]] = {
    DataModel.SINGLE: StoredSingle,
    DataModel.ARRAY: StoredArrayEntry,
    DataModel.DICTIONARY: StoredDictionaryEntry,
}
"""The structure of StoredData, without its length in front, by data model."""


@structure
class StoreKindData:
    """Values of one Kind; each is StoredData without its length."""

    kind: int = u32()
    generation_counter: int = u64()
    values: tuple[bytes, ...] = vector(OPAQUE32, 4)


@structure
class StoreReq:
    """Values to be stored at a resource; `replica_number` is 0 from who has written them."""

    resource: bytes = opaque(1)
    replica_number: int = u8()
    kind_data: tuple[StoreKindData, ...] = vector(StoreKindData, 4)


@structure
class StoreKindResponse:
    """The generation counter that holds now, and who has or gets replicas."""

    kind: int = u32()
    generation_counter: int = u64()
    replicas: tuple[bytes, ...] = vector(NODE_ID, 2)


@structure
class StoreAns:
    """Also the error_info of Error_Generation_Counter_Too_Low."""

    kind_responses: tuple[StoreKindResponse, ...] = vector(StoreKindResponse, 2)


@structure
class SingleSpecifier:
    """A single value is wanted as it is: no octets."""


@structure
class ArrayRange:
    """Entries `first` to `last`, both included. The RFC prints int32, and means unsigned by 0xffffffff."""

    first: int = u32()
    last: int = u32()


@structure
class ArraySpecifier:
    """The ranges of an array that are wanted."""

    indices: tuple[ArrayRange, ...] = vector(ArrayRange, 2)


@structure
class DictionarySpecifier:
    """The keys that are wanted; all of them when there is none."""

    keys: tuple[bytes, ...] = vector(OPAQUE16, 2)


Specifier: TypeAlias = SingleSpecifier | ArraySpecifier | DictionarySpecifier
SPECIFIERS: dict[DataModel, type[Any]] = {
    DataModel.SINGLE: SingleSpecifier,
    DataModel.ARRAY: ArraySpecifier,
    DataModel.DICTIONARY: DictionarySpecifier,
}
"""The structure of a model_specifier, without its length in front, by data model."""


@structure
class StoredDataSpecifier:
    """What of a Kind is wanted, unless its generation is still `generation`; the specifier as octets."""

    kind: int = u32()
    generation: int = u64()
    model_specifier: bytes = opaque(2, default=b"")


@structure
class FetchReq:
    """Fetch, and Stat too (section 7.4.3.1)."""

    resource: bytes = opaque(1)
    specifiers: tuple[StoredDataSpecifier, ...] = vector(StoredDataSpecifier, 2)


StatReq = FetchReq


@structure
class FetchKindResponse:
    """The values of a Kind, each StoredData without its length."""

    kind: int = u32()
    generation: int = u64()
    values: tuple[bytes, ...] = vector(OPAQUE32, 4)


@structure
class FetchAns:
    """One response for each Kind that was asked for."""

    kind_responses: tuple[FetchKindResponse, ...] = vector(FetchKindResponse, 4)


@structure
class MetaData:
    """What a value is: `value_length` in octets, the hash over it with its four octets of length in front."""

    exists: bool = boolean()
    value_length: int = u32()
    hash_algorithm: int = u8()
    hash_value: bytes = opaque(1, default=b"")


@structure
class ArrayEntryMeta:
    """Metadata of an array entry."""

    index: int = u32()
    value: MetaData = nested(MetaData)


@structure
class DictionaryEntryMeta:
    """Metadata of a dictionary entry."""

    key: bytes = opaque(2)
    value: MetaData = nested(MetaData)


@structure
class StoredMetaSingle:
    """StoredMetaData of a single value, without its length."""

    storage_time: int = u64()
    lifetime: int = u32()
    metadata: MetaData = nested(MetaData)


@structure
class StoredMetaArrayEntry:
    """StoredMetaData of an array."""

    storage_time: int = u64()
    lifetime: int = u32()
    metadata: ArrayEntryMeta = nested(ArrayEntryMeta)


@structure
class StoredMetaDictionaryEntry:
    """StoredMetaData of a dictionary."""

    storage_time: int = u64()
    lifetime: int = u32()
    metadata: DictionaryEntryMeta = nested(DictionaryEntryMeta)


StoredMetaData: TypeAlias = StoredMetaSingle | StoredMetaArrayEntry | StoredMetaDictionaryEntry
STORED_META_DATA: dict[DataModel, type[Any]] = {
    DataModel.SINGLE: StoredMetaSingle,
    DataModel.ARRAY: StoredMetaArrayEntry,
    DataModel.DICTIONARY: StoredMetaDictionaryEntry,
}
"""The structure of StoredMetaData, without its length in front, by data model."""


StatKindResponse = FetchKindResponse
"""The same form, with StoredMetaData without its length in the place of StoredData."""


@structure
class StatAns:
    """One response for each Kind that was asked for."""

    kind_responses: tuple[StatKindResponse, ...] = vector(StatKindResponse, 4)


@structure
class FindReq:
    """Where are values of these Kinds, near that Resource-ID?"""

    resource: bytes = opaque(1)
    kinds: tuple[int, ...] = vector(U32, 1)


@structure
class FindKindData:
    """The closest Resource-ID; zeros where there is none."""

    kind: int = u32()
    closest: bytes = opaque(1)


@structure
class FindAns:
    """One result for each Kind that may be sought."""

    results: tuple[FindKindData, ...] = vector(FindKindData, 2)
