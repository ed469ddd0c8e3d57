"""The messages of the resource protocol (decade.cddl), as frozen classes and as CBOR.

Members have the names of the CDDL. What may be absent is None, unless null says something else: then it is ABSENT.
Times are seconds since 1970, sizes octets, rates bits per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeAlias, get_args

from decade import cbor
from decade._maps import (
    UINT,
    Extensible,
    array,
    at,
    choice,
    encode_map,
    exactly,
    exactly_one,
    message_types,
    nested,
    nullable,
    octets,
    read_map,
    row,
    table,
    text,
    uint,
    wire_map,
)
from decade.errors import DecodeError
from decade.names import SHA_256, Name
from decade.problem import ERROR_CODE, PROBLEM_ENTRY, encode_problem, read_problem
from decade.problem import Problem as Problem
from decade.problem import decode_problem as decode_problem
from decade.scope import CONFIRMATION, SCOPE, TOKEN_POLICY, Confirmation, Scope, TokenPolicy
from decade.values import (
    ABSENT,
    BANDWIDTH,
    COLLECTIONS,
    COSE_KEY,
    EPOCH,
    HASH_NAME,
    HTTP_URI,
    IP_PREFIX,
    KID,
    MAX_WEIGHT,
    OBJECT_NAME,
    PRIORITY,
    Absent,
    Bandwidth,
    CoseKey,
    IpPrefix,
    ObjectName,
    Priority,
)

MEDIA_TYPE = "application/vnd.decade+cbor"
VERSION = 1
"""The version of the profile."""
MAX_OBJECTS = 256
"""Objects of one transfer, tokens of one batch."""
MAX_REVOKED = 1024
MAX_REMOTE_TOKEN = 4096

_BODY_TYPE = text(1, 255)
_CTI = octets(16, 32)
_IDENTIFIER = octets(8, 32)
_HASH = octets(32, 32)
_TEXT = text()
_CURSOR = octets()


class WhenFull(IntEnum):
    """What becomes of an object for which there is no room."""

    REJECT = 0
    EVICT_OWN = 1


class Access(IntEnum):
    """Who may read the objects of a node (RFC 6392 section 3.4)."""

    PRIVATE = 0
    PUBLIC_RESTRICTED = 1
    PUBLIC = 2


class Condition(IntEnum):
    """How a server is."""

    OK = 0
    BUSY = 1
    OVERLOADED = 2
    DRAINING = 3


class ObjectState(IntEnum):
    """Whether an object is there."""

    RECEIVING = 0
    STORED = 1
    EXPIRED = 2


class Direction(IntEnum):
    """Which way objects go, seen from the server that is asked."""

    PULL = 0
    PUSH = 1


class TransferState(IntEnum):
    """How far a transfer is, or one of its objects."""

    QUEUED = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3
    CANCELLED = 4


@wire_map()
class Limits(Extensible):
    """What a server accepts: octets of an object and of a token, seconds that an object and a token live at most."""

    max_object: int = at(1, UINT)
    min_object: int | None = at(2, UINT, default=None)
    max_ttl: int = at(3, UINT)
    max_token: int = at(4, UINT)
    max_token_life: int = at(5, UINT)
    max_list_page: int = at(6, UINT)
    max_transfer_objects: int = at(7, UINT)


@wire_map(1)
class ServerInfo(Extensible):
    """What a server is and has, for everybody (/.well-known/decade).

    `server`: its identifier, the audience of tokens. `object_template`: a URI with {alg} and {val}. `keys`: those with
    which it mints tokens. `siblings`: where it redirects to.
    """

    versions: tuple[int, ...] = at(1, array(UINT, 1))
    server: str = at(2, HTTP_URI)
    object_template: str = at(3, HTTP_URI)
    drp_base: str = at(4, HTTP_URI)
    hash_algorithms: tuple[str, ...] = at(5, array(_TEXT, 1))
    limits: Limits = at(6, nested(Limits))
    features: tuple[str, ...] = at(7, array(_TEXT))
    keys: tuple[CoseKey, ...] | None = at(8, array(COSE_KEY), default=None)
    siblings: tuple[str, ...] | None = at(9, array(HTTP_URI), default=None)

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for a server without the algorithm that all have."""
        if SHA_256 not in self.hash_algorithms:
            raise DecodeError(f"server-info: {SHA_256} is not among the hash algorithms")


@wire_map(2)
class TokenRequest(Extensible):
    """Tokens that a server is asked to mint. `lifetime`: seconds. `count`: how many, one without it."""

    scope: Scope = at(1, SCOPE)
    policy: TokenPolicy | None = at(2, TOKEN_POLICY, default=None)
    lifetime: int = at(3, UINT)
    cnf: Confirmation | None = at(4, CONFIRMATION, default=None)
    count: int | None = at(5, uint(1, MAX_OBJECTS), default=None)


@wire_map(3)
class TokenResponse(Extensible):
    """The tokens, and when they expire."""

    tokens: tuple[bytes, ...] = at(1, array(octets(), 1, MAX_OBJECTS), is_secret=True)
    exp: int = at(2, EPOCH)


@wire_map(4)
class Revocation(Extensible):
    """Tokens of the account that asks: those with these cti, those issued up to a time, or those of a key."""

    cti: tuple[bytes, ...] | None = at(1, array(_CTI, 1, MAX_REVOKED), default=None)
    before: int | None = at(2, EPOCH, default=None)
    kid: bytes | None = at(3, KID, default=None)

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError unless there is exactly one of them."""
        exactly_one(self.cti, self.before, self.kid)


@wire_map(5)
class ResourcePolicy(Extensible):
    """What a node of an account's tree may use (RFC 7069 section 4.5).

    `weight`: among its siblings. Guaranteed and ceiling: bit/s. Lifetimes: seconds of an object. `prefixes`: who may
    read what is public-restricted.
    """

    weight: int = at(1, uint(1, MAX_WEIGHT))
    guaranteed_download: int | None = at(2, UINT, default=None)
    guaranteed_upload: int | None = at(3, UINT, default=None)
    ceiling_download: int | None = at(4, UINT, default=None)
    ceiling_upload: int | None = at(5, UINT, default=None)
    connections: int | None = at(6, UINT, default=None)
    storage: int | None = at(7, UINT, default=None)
    default_lifetime: int | None = at(8, UINT, default=None)
    longest_lifetime: int | None = at(9, UINT, default=None)
    priority: Priority | None = at(10, PRIORITY, default=None)
    when_full: WhenFull | None = at(11, choice(WhenFull), default=None)
    access: Access | None = at(12, choice(Access), default=None)
    prefixes: tuple[IpPrefix, ...] | None = at(13, array(IP_PREFIX), default=None)


@wire_map()
class Usage(Extensible):
    """What a node uses: octets stored, reserved, received, sent; objects; connections now; bit/s in and out."""

    stored: int = at(1, UINT)
    objects: int = at(2, UINT)
    reserved: int = at(3, UINT)
    received: int = at(4, UINT)
    sent: int = at(5, UINT)
    connections: int = at(6, UINT)
    rate_in: int = at(7, UINT)
    rate_out: int = at(8, UINT)


@wire_map(6)
class Status(Extensible):
    """The resources of an account, used and granted (RFC 7069 section 6.2.2). `apps`: usage by the name of an app."""

    time: int = at(1, EPOCH)
    usage: Usage = at(2, nested(Usage))
    policy: ResourcePolicy = at(3, nested(ResourcePolicy))
    apps: Mapping[str, Usage] | None = at(4, table(nested(Usage)), default=None)
    condition: Condition | None = at(5, choice(Condition), default=None)


@wire_map()
class TokenSeen:
    """How often a token has read an object."""

    token: bytes = at(0, octets())
    reads: int = at(1, UINT)


@wire_map()
class AccessStats(Extensible):
    """How often an object was read, and with which tokens."""

    reads: int = at(1, UINT)
    octets: int = at(2, UINT)
    last_read: int | None = at(3, EPOCH, default=None)
    tokens: tuple[TokenSeen, ...] | None = at(4, array(row(TokenSeen)), default=None)


@wire_map(7)
class ObjectInfo(Extensible):
    """An object and its attributes at this server (RFC 7069 section 6.2.3). `expires` is None for never."""

    name: ObjectName = at(1, OBJECT_NAME)
    size: int = at(2, UINT)
    created: int = at(3, EPOCH)
    expires: int | None = at(4, nullable(EPOCH))
    media_type: str | None = at(5, _BODY_TYPE, default=None)
    access: AccessStats | None = at(6, nested(AccessStats), default=None)
    collections: tuple[bytes, ...] | None = at(7, COLLECTIONS, default=None)
    state: ObjectState = at(8, choice(ObjectState))


@wire_map(8)
class ObjectList(Extensible):
    """A page of an account's objects. `cursor` is where the next one starts, None at the end."""

    objects: tuple[ObjectInfo, ...] = at(1, array(nested(ObjectInfo)))
    cursor: bytes | None = at(2, _CURSOR, default=None)


@wire_map(9)
class AttrPatch(Extensible):
    """Attributes to change. None takes the expiry or the media type away; what is absent stays as it is."""

    expires: int | Absent | None = at(4, nullable(EPOCH), default=ABSENT)
    media_type: str | Absent | None = at(5, nullable(_BODY_TYPE), default=ABSENT)
    collections: tuple[bytes, ...] | None = at(7, COLLECTIONS, default=None)


@wire_map()
class TimeFrame:
    """The time that a log is of."""

    start: int = at(0, EPOCH)
    end: int = at(1, EPOCH)


@wire_map()
class Accessed(Extensible):
    """How often an object was read with a token, and last when."""

    name: ObjectName = at(1, OBJECT_NAME)
    token: bytes = at(2, octets())
    reads: int = at(3, UINT)
    octets: int = at(4, UINT)
    last_read: int = at(5, EPOCH)
    client: str | None = at(6, _TEXT, default=None)


@wire_map(10)
class AccessLog(Extensible):
    """Who has read what in a time frame (RFC 7069 section 6.2.2)."""

    frame: TimeFrame = at(1, row(TimeFrame))
    entries: tuple[Accessed, ...] = at(2, array(nested(Accessed)))
    cursor: bytes | None = at(3, _CURSOR, default=None)


@wire_map()
class SentToServer:
    """An object that went to a server."""

    name: ObjectName = at(0, OBJECT_NAME)
    server: str = at(1, HTTP_URI)
    time: int = at(2, EPOCH)


@wire_map()
class SentToClient:
    """An object that went to a client."""

    name: ObjectName = at(0, OBJECT_NAME)
    client: str = at(1, _TEXT)
    time: int = at(2, EPOCH)


@wire_map(11)
class DistributionLog(Extensible):
    """Where objects went in a time frame (RFC 7069 section 6.2.2)."""

    frame: TimeFrame = at(1, row(TimeFrame))
    servers: tuple[SentToServer, ...] = at(2, array(row(SentToServer)))
    clients: tuple[SentToClient, ...] = at(3, array(row(SentToClient)))
    cursor: bytes | None = at(4, _CURSOR, default=None)


@wire_map()
class StoredAttrs(Extensible):
    """Attributes that an object gets where it is stored; an expiry of None is never, without it the policy's holds."""

    expires: int | Absent | None = at(4, nullable(EPOCH), default=ABSENT)
    media_type: str | None = at(5, _BODY_TYPE, default=None)
    collections: tuple[bytes, ...] | None = at(7, COLLECTIONS, default=None)


@wire_map()
class Remote(Extensible):
    """The other server: the template of its objects' URIs, its identifier, and how many servers may follow."""

    object_template: str = at(1, HTTP_URI)
    server: str | None = at(2, HTTP_URI, default=None)
    hop_limit: int | None = at(3, UINT, default=None)


@wire_map(12)
class TransferRequest(Extensible):
    """Objects that one server is to have from another, or to give it (RFC 7069 section 6.4).

    `token` is for the other server. The same idempotency key of the same account is the same transfer.
    """

    direction: Direction = at(1, choice(Direction))
    objects: tuple[ObjectName, ...] = at(2, array(OBJECT_NAME, 1, MAX_OBJECTS))
    remote: Remote = at(3, nested(Remote))
    token: bytes | None = at(4, octets(1, MAX_REMOTE_TOKEN), default=None, is_secret=True)
    attrs: StoredAttrs | None = at(5, nested(StoredAttrs), default=None)
    priority: Priority | None = at(6, PRIORITY, default=None)
    bandwidth: Bandwidth | None = at(7, BANDWIDTH, default=None)
    deadline: int | None = at(8, EPOCH, default=None)
    idempotency_key: bytes | None = at(9, _IDENTIFIER, default=None)


@wire_map()
class Item:
    """An object of a transfer: how far it is, the octets that are done, and why it failed."""

    name: ObjectName = at(0, OBJECT_NAME)
    state: TransferState = at(1, choice(TransferState))
    octets: int = at(2, UINT)
    error: int | None = at(3, ERROR_CODE, default=None)


@wire_map(13)
class TransferStatus(Extensible):
    """How far a transfer is. `done` and `total`: octets; the total may not be known."""

    id: bytes = at(1, _IDENTIFIER)
    state: TransferState = at(2, choice(TransferState))
    items: tuple[Item, ...] = at(3, array(row(Item)))
    done: int = at(4, UINT)
    total: int | None = at(5, UINT, default=None)


@wire_map(14)
class ChallengeRequest(Extensible):
    """A client asks for a seed, to show that it has an object (RFC 7069 appendix A.1.3)."""

    name: Name = at(1, HASH_NAME)


@wire_map(15)
class Challenge(Extensible):
    """The seed, and until when it holds."""

    name: Name = at(1, HASH_NAME)
    seed: bytes = at(2, _HASH)
    algorithm: str = at(3, exactly(SHA_256))
    expires: int = at(4, EPOCH)


@wire_map(16)
class Claim(Extensible):
    """The SHA-256 of the seed and the object behind it, from who has the object."""

    name: Name = at(1, HASH_NAME)
    seed: bytes = at(2, _HASH)
    proof: bytes = at(3, _HASH)
    attrs: StoredAttrs | None = at(5, nested(StoredAttrs), default=None)


Message: TypeAlias = (
    ServerInfo
    | TokenRequest
    | TokenResponse
    | Revocation
    | ResourcePolicy
    | Status
    | ObjectInfo
    | ObjectList
    | AttrPatch
    | AccessLog
    | DistributionLog
    | TransferRequest
    | TransferStatus
    | ChallengeRequest
    | Challenge
    | Claim
    | Problem
)
_CLASSES: Mapping[int, type[Message]] = message_types(cls for cls in get_args(Message) if cls is not Problem)


def decode_message(octets: bytes) -> Message:
    """The message that a body spells: by its type, or a problem, which has none.

    Raises DecodeError, for a name of an unknown algorithm with the code for that.
    """
    value: Any = cbor.decode(octets)
    if not isinstance(value, Mapping):
        raise DecodeError("a message is a map")
    if PROBLEM_ENTRY in value:
        return read_problem(value)
    number = value.get(0)
    cls = _CLASSES.get(number) if type(number) is int else None
    if cls is None:
        raise DecodeError(f"messages of type {number!r:.60} are not known")
    return read_map(cls, value)


def encode_message(message: Message) -> bytes:
    """The octets of a message. Raises EncodeError, which names the member that the CDDL does not allow."""
    if isinstance(message, Problem):
        return encode_problem(message)
    return cbor.encode(encode_map(message))
