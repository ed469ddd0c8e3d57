"""Hypothesis strategies for every message of DECADE, with every member there or not, at its bounds too."""

from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from decade import messages as m
from decade.errors import Dimension, ErrorCode
from decade.names import Name
from decade.problem import Problem
from decade.scope import (
    ALL_OPERATIONS,
    Collection,
    Confirmation,
    Everything,
    Object,
    Operation,
    Publisher,
    TokenPolicy,
)
from decade.values import ABSENT, BitRate, Priority, SignedName, Weight

UINT = st.sampled_from([0, 1, 23, 24, 255, 256, 65535, 65536, 2**32, 2**64 - 1]) | st.integers(0, 2**64 - 1)
WEIGHT = st.sampled_from([1, 65535]) | st.integers(1, 65535)
TEXT = st.text(max_size=12)
URI = st.just("https://sb.example") | st.just("u" * 2048) | st.text(min_size=1, max_size=20)
BODY_TYPE = st.sampled_from(["text/plain", "x", "t" * 255])
COLLECTION = st.binary(min_size=1, max_size=64)
COLLECTIONS = st.lists(COLLECTION, max_size=3).map(tuple)
KID = st.binary(min_size=1, max_size=64)
CTI = st.binary(min_size=16, max_size=32)
ID = st.binary(min_size=8, max_size=32)
HASH = st.binary(min_size=32, max_size=32)
HASH_NAME = HASH.map(lambda value: Name("sha-256", value))
OBJECT_NAME = HASH_NAME | st.builds(SignedName, HASH_NAME, st.binary(min_size=1, max_size=64))
BANDWIDTH = st.builds(Weight, WEIGHT) | st.builds(BitRate, UINT)
PRIORITY = st.sampled_from(Priority)
PREFIX = st.builds(
    lambda address, bits: IPv4Network((address, bits), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
) | st.builds(
    lambda address, bits: IPv6Network((address, bits), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
)
ITEM = st.none() | st.booleans() | UINT | TEXT | st.binary(max_size=4) | st.just({1: (2, "x")})
EXT = st.fixed_dictionaries({64: ITEM}, optional={2**64 - 1: ITEM})
COSE_KEY = st.dictionaries(st.integers(-4, 4) | TEXT, ITEM, max_size=3).map(lambda key: key | {1: 1})


def _of(cls, **members):
    """The class with members that are there, but those in a `maybe` not always, and perhaps with extensions."""
    if any(field.name == "ext" for field in cls.__attrs_attrs__):
        members["ext"] = maybe(EXT)
    optional = {name: value.inner for name, value in members.items() if isinstance(value, maybe)}
    required = {name: value for name, value in members.items() if name not in optional}
    return st.fixed_dictionaries(required, optional=optional).map(lambda made: cls(**made))


class maybe:  # noqa: N801
    """A member that may be absent."""

    def __init__(self, inner):
        self.inner = inner


TARGET = (
    st.just(Everything())
    | st.builds(Object, OBJECT_NAME)
    | st.builds(Collection, COLLECTION)
    | st.builds(Publisher, HASH_NAME, st.binary(max_size=64))
)
OPERATIONS = st.sets(st.sampled_from(list(Operation))).map(lambda some: Operation(sum(some)))
SCOPE = st.lists(st.tuples(TARGET, OPERATIONS | st.just(ALL_OPERATIONS)), min_size=1, max_size=4).map(tuple)
TOKEN_POLICY = _of(
    TokenPolicy,
    priority=maybe(PRIORITY),
    bandwidth=maybe(BANDWIDTH),
    amount=maybe(UINT),
    uses=maybe(st.integers(1, 2**32 - 1)),
    connections=maybe(WEIGHT),
    storage=maybe(UINT),
    lifetime=maybe(UINT),
    ip_prefixes=maybe(st.lists(PREFIX, min_size=1, max_size=3).map(tuple)),
    collections=maybe(st.lists(COLLECTION, min_size=1, max_size=3).map(tuple)),
    levels=maybe(st.integers(0, 3)),
    app_path=maybe(st.lists(st.text(min_size=1, max_size=16), max_size=4).map(tuple)),
)
CONFIRMATION = (
    st.builds(Confirmation, key=COSE_KEY) | st.builds(Confirmation, kid=KID) | st.builds(Confirmation, thumbprint=HASH)
)
LIMITS = _of(
    m.Limits,
    max_object=UINT,
    min_object=maybe(UINT),
    max_ttl=UINT,
    max_token=UINT,
    max_token_life=UINT,
    max_list_page=UINT,
    max_transfer_objects=UINT,
)
RESOURCE_POLICY = _of(
    m.ResourcePolicy,
    weight=WEIGHT,
    guaranteed_download=maybe(UINT),
    guaranteed_upload=maybe(UINT),
    ceiling_download=maybe(UINT),
    ceiling_upload=maybe(UINT),
    connections=maybe(UINT),
    storage=maybe(UINT),
    default_lifetime=maybe(UINT),
    longest_lifetime=maybe(UINT),
    priority=maybe(PRIORITY),
    when_full=maybe(st.sampled_from(m.WhenFull)),
    access=maybe(st.sampled_from(m.Access)),
    prefixes=maybe(st.lists(PREFIX, max_size=3).map(tuple)),
)
USAGE = _of(
    m.Usage,
    stored=UINT,
    objects=UINT,
    reserved=UINT,
    received=UINT,
    sent=UINT,
    connections=UINT,
    rate_in=UINT,
    rate_out=UINT,
)
ACCESS_STATS = _of(
    m.AccessStats,
    reads=UINT,
    octets=UINT,
    last_read=maybe(UINT),
    tokens=maybe(st.lists(st.builds(m.TokenSeen, token=CTI, reads=UINT), max_size=2).map(tuple)),
)
OBJECT_INFO = _of(
    m.ObjectInfo,
    name=OBJECT_NAME,
    size=UINT,
    created=UINT,
    expires=st.none() | UINT,
    media_type=maybe(BODY_TYPE),
    access=maybe(ACCESS_STATS),
    collections=maybe(COLLECTIONS),
    state=st.sampled_from(m.ObjectState),
)
EXPIRES = st.just(ABSENT) | st.none() | UINT
STORED_ATTRS = _of(m.StoredAttrs, expires=EXPIRES, media_type=maybe(BODY_TYPE), collections=maybe(COLLECTIONS))
FRAME = st.builds(m.TimeFrame, start=UINT, end=UINT)
ERROR = st.sampled_from(ErrorCode) | st.integers(37, 64)
TRANSFER_ITEM = st.builds(
    m.Item,
    name=OBJECT_NAME,
    state=st.sampled_from(m.TransferState),
    octets=UINT,
    error=st.none() | ERROR,
)
PROBLEM = _of(
    Problem,
    code=ERROR,
    title=maybe(TEXT),
    detail=maybe(TEXT),
    retry_after=maybe(UINT),
    dimension=maybe(st.sampled_from(Dimension)),
    limit=maybe(UINT),
    used=maybe(UINT),
    alternates=maybe(st.lists(URI, max_size=2).map(tuple)),
)

MESSAGES = {
    "server-info": _of(
        m.ServerInfo,
        versions=st.lists(UINT, min_size=1, max_size=3).map(tuple),
        server=URI,
        object_template=URI,
        drp_base=URI,
        hash_algorithms=st.just(("sha-256",)) | st.just(("sha-512", "sha-256")),
        limits=LIMITS,
        features=st.lists(TEXT, max_size=3).map(tuple),
        keys=maybe(st.lists(COSE_KEY, max_size=2).map(tuple)),
        siblings=maybe(st.lists(URI, max_size=2).map(tuple)),
    ),
    "token-request": _of(
        m.TokenRequest,
        scope=SCOPE,
        policy=maybe(TOKEN_POLICY),
        lifetime=UINT,
        cnf=maybe(CONFIRMATION),
        count=maybe(st.integers(1, 256)),
    ),
    "token-response": _of(
        m.TokenResponse, tokens=st.lists(st.binary(max_size=20), min_size=1, max_size=3).map(tuple), exp=UINT
    ),
    "revocation": _of(m.Revocation, cti=st.lists(CTI, min_size=1, max_size=3).map(tuple))
    | _of(m.Revocation, before=UINT)
    | _of(m.Revocation, kid=KID),
    "resource-policy": RESOURCE_POLICY,
    "status": _of(
        m.Status,
        time=UINT,
        usage=USAGE,
        policy=RESOURCE_POLICY,
        apps=maybe(st.dictionaries(TEXT, USAGE, max_size=2)),
        condition=maybe(st.sampled_from(m.Condition)),
    ),
    "object-info": OBJECT_INFO,
    "object-list": _of(
        m.ObjectList, objects=st.lists(OBJECT_INFO, max_size=2).map(tuple), cursor=maybe(st.binary(max_size=9))
    ),
    "attr-patch": _of(
        m.AttrPatch,
        expires=EXPIRES,
        media_type=st.just(ABSENT) | st.none() | BODY_TYPE,
        collections=maybe(COLLECTIONS),
    ),
    "access-log": _of(
        m.AccessLog,
        frame=FRAME,
        entries=st.lists(
            _of(
                m.Accessed,
                name=OBJECT_NAME,
                token=CTI,
                reads=UINT,
                octets=UINT,
                last_read=UINT,
                client=maybe(TEXT),
            ),
            max_size=2,
        ).map(tuple),
        cursor=maybe(st.binary(max_size=9)),
    ),
    "distribution-log": _of(
        m.DistributionLog,
        frame=FRAME,
        servers=st.lists(st.builds(m.SentToServer, name=OBJECT_NAME, server=URI, time=UINT), max_size=2).map(tuple),
        clients=st.lists(st.builds(m.SentToClient, name=OBJECT_NAME, client=TEXT, time=UINT), max_size=2).map(tuple),
        cursor=maybe(st.binary(max_size=9)),
    ),
    "transfer-request": _of(
        m.TransferRequest,
        direction=st.sampled_from(m.Direction),
        objects=st.lists(OBJECT_NAME, min_size=1, max_size=3).map(tuple),
        remote=_of(m.Remote, object_template=URI, server=maybe(URI), hop_limit=maybe(UINT)),
        token=maybe(st.binary(min_size=1, max_size=40) | st.just(bytes(4096))),
        attrs=maybe(STORED_ATTRS),
        priority=maybe(PRIORITY),
        bandwidth=maybe(BANDWIDTH),
        deadline=maybe(UINT),
        idempotency_key=maybe(ID),
    ),
    "transfer-status": _of(
        m.TransferStatus,
        id=ID,
        state=st.sampled_from(m.TransferState),
        items=st.lists(TRANSFER_ITEM, max_size=3).map(tuple),
        done=UINT,
        total=maybe(UINT),
    ),
    "challenge-request": _of(m.ChallengeRequest, name=HASH_NAME),
    "challenge": _of(m.Challenge, name=HASH_NAME, seed=HASH, algorithm=st.just("sha-256"), expires=UINT),
    "claim": _of(m.Claim, name=HASH_NAME, seed=HASH, proof=HASH, attrs=maybe(STORED_ATTRS)),
    "problem": PROBLEM,
}
"""By the names of the CDDL."""
ANY_MESSAGE = st.one_of(*MESSAGES.values())
