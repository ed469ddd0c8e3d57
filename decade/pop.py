"""Proof of possession: a request that is signed with the key that its token names (RFC 8747, by RFC 9421).

The signature covers the method, the target URI, the token, and for a request with a body its Content-Digest (RFC 9530).
It has the tag "decade", the time when it was made and a nonce, and holds once, for a minute. Of structured fields
(RFC 8941) as much is read as such a signature needs; what else there is in a header is left alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping

import attrs

from decade.cose import Ed25519SigningKey, Es256Key, Es256SigningKey, HmacKey, PublicKey, read_public_key
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import MAX_FIELD, Headers, Request
from decade.names import Name
from decade.ports import TokenKey
from decade.scope import Operation
from decade.tokens import SKEW, Keys, VerifiedToken
from decade.values import ObjectName

TAG = "decade"
"""Tells a signature of this profile from those of others, and is the label of ours."""
WINDOW = SKEW
"""Seconds between the time of a signature and that of the server."""
MAX_NONCES = 65536
"""Signatures of one account in two minutes, which are remembered: 546 a second, at 200 octets or so each."""
_MIN_NONCE, _MAX_NONCE = 16, 64
WITH_BODY = frozenset({"PUT", "POST", "PATCH"})

_KEY = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_BARE = rf"(?:-?\d{{1,15}}(?:\.\d{{1,3}})?|:[A-Za-z0-9+/=]*:|{_STRING}|[A-Za-z*][!#-+\--:<-~]*|\?[01])"
_PARAMETERS = rf"(?:; *{_KEY}(?:={_BARE})?)*"
_ITEM = rf"{_STRING}{_PARAMETERS}"
_END = r"(?:[ \t]*,[ \t]*(?=[a-z*])|[ \t]*$)"
_INPUT = re.compile(rf"({_KEY})=\( *((?:{_ITEM}(?: +{_ITEM})*)?) *\)({_PARAMETERS}){_END}", re.ASCII)
_OCTETS = re.compile(rf"({_KEY})=:([A-Za-z0-9+/=]*):{_PARAMETERS}{_END}", re.ASCII)
_COMPONENTS = re.compile(rf"({_STRING})({_PARAMETERS})(?: +|$)", re.ASCII)
_PARAMETER = re.compile(rf"; *({_KEY})(?:=({_BARE}))?", re.ASCII)
_TIME = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)

_METHOD, _URI, _AUTHORIZATION, _DIGEST = "@method", "@target-uri", "authorization", "content-digest"
_TEXTS = frozenset({"nonce", "keyid", "alg", "tag"})
_TIMES = frozenset({"created", "expires"})


def _name_of(key: PublicKey | Ed25519SigningKey | Es256SigningKey) -> str:
    """What RFC 9421 section 3.3 calls the algorithm of a key."""
    return "ecdsa-p256-sha256" if isinstance(key, Es256Key | Es256SigningKey) else "ed25519"


def sign(
    request: Request,
    key: Ed25519SigningKey | Es256SigningKey,
    *,
    created: int,
    nonce: str,
    digest: bytes | None = None,
) -> Headers:
    """The header fields that prove that whoever sends a request holds a key.

    `request`: with its absolute URI as it is sent, its body, and the token in Authorization. `created`: Unix time.
    `nonce`: 16 to 64 letters and digits that no other request of this key has. `digest`: the SHA-256 of a body that
    is not in the request.
    """
    covered = [_METHOD, _URI, _AUTHORIZATION]
    fields: Headers = ()
    if request.method in WITH_BODY:
        octets = hashlib.sha256(request.body).digest() if digest is None else digest
        fields = (("Content-Digest", f"sha-256=:{base64.b64encode(octets).decode()}:"),)
        covered.append(_DIGEST)
    listed = " ".join(f'"{name}"' for name in covered)
    keyid = base64.urlsafe_b64encode(key.kid).rstrip(b"=").decode()
    parameters = f'({listed});created={created};nonce="{nonce}";keyid="{keyid}";alg="{_name_of(key)}";tag="{TAG}"'
    signed = attrs.evolve(request, headers=(*request.headers, *fields))
    base = _base(signed, request.target, tuple(covered), parameters)
    signature = base64.b64encode(key.sign(base)).decode()
    return (*fields, ("Signature-Input", f"{TAG}={parameters}"), ("Signature", f"{TAG}=:{signature}:"))


@attrs.frozen
class Proof:
    """A signature of a request, not verified. `digest`: the SHA-256 of its body, None if that is not covered."""

    covered: tuple[str, ...]
    created: int
    nonce: str
    digest: bytes | None
    base: bytes
    signature: bytes = attrs.field(repr=False)
    algorithm: str | None = None
    expires: int | None = None


def read_proof(request: Request, uri: str) -> Proof:
    """The signature with the tag of this profile. `uri`: what the request asks for, in full. Raises DecodeError."""
    label, listed, parameters = _find_input(request.header("Signature-Input"))
    covered = _read_components(listed)
    read = _read_parameters(parameters)
    if not {"created", "nonce"} <= read.keys():
        raise DecodeError("Signature-Input: without created or nonce")
    if not _MIN_NONCE <= len(read["nonce"]) <= _MAX_NONCE:
        raise DecodeError(f"Signature-Input: a nonce has {_MIN_NONCE} to {_MAX_NONCE} characters")
    spelled = "".join(f";{name}={_spelled(name, value)}" for name, value in read.items())
    inner = "(" + " ".join(f'"{name}"' for name in covered) + ")" + spelled
    needed = {_METHOD, _URI, _AUTHORIZATION} | ({_DIGEST} if request.method in WITH_BODY else set())
    if needed != set(covered):
        raise DecodeError("Signature-Input: the signature covers less than it has to, or more")
    signature = _find_octets(request.header("Signature"), label, "Signature")
    digest = _find_octets(request.header("Content-Digest"), "sha-256", "Content-Digest") if _DIGEST in covered else None
    return Proof(
        covered=covered,
        created=int(read["created"]),
        nonce=read["nonce"],
        digest=digest,
        base=_base(request, uri, covered, inner),
        signature=signature,
        algorithm=read.get("alg"),
        expires=int(read["expires"]) if "expires" in read else None,
    )


class Replays:
    """The signatures of the last minutes that this process has seen: each holds once."""

    def __init__(self, started: float | None = None) -> None:
        """`started`: see `start`."""
        self._until: OrderedDict[tuple[str, bytes, str], float] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._started = started

    def __len__(self) -> int:
        """Signatures that are remembered."""
        return len(self._until)

    def start(self, wall: float) -> None:
        """From now on signatures are remembered: what was signed before may have been used before. Once is enough."""
        if self._started is None:
            self._started = wall

    def check(self, proof: Proof, key: PublicKey, account: str, wall: float) -> None:
        """Whether a signature is by a key, made now, and new; it is remembered. `account`: whose token it is with.

        Raises RefusedError: POP_FAILED, and RATE_LIMITED when the account has MAX_NONCES already.
        """
        self.start(wall)
        if not max(wall - WINDOW, self._started or 0) <= proof.created <= wall + WINDOW:
            raise _failed("made at another time")
        if proof.expires is not None and wall >= proof.expires + WINDOW:
            raise _failed("expired")
        if proof.algorithm not in (None, _name_of(key)):
            raise _failed("for another kind of key")
        if not key.verify(proof.base, proof.signature):
            raise _failed("not by the key of the token")
        self._forget(wall)
        entry = (account, key.thumbprint, proof.nonce)
        if entry in self._until:
            raise _failed("used before")
        if self._counts[account] >= MAX_NONCES:
            raise RefusedError(ErrorCode.RATE_LIMITED, f"{MAX_NONCES} signed requests in two minutes")
        self._counts[account] += 1
        self._until[entry] = wall + 2 * WINDOW

    def _forget(self, wall: float) -> None:
        while self._until and next(iter(self._until.values())) < wall:
            (account, _, _), _ = self._until.popitem(last=False)
            self._counts[account] -= 1
            if not self._counts[account]:
                del self._counts[account]


@attrs.frozen
class ProofRecord:
    """A proof that was right. All who share a ledger count it there, under `key`, as a use of `account` until a Unix
    time: it holds once at all of them. `digest`: as in `Proof`.
    """

    account: str
    key: TokenKey
    until: int
    digest: bytes | None

    def is_by(self, token: VerifiedToken, keys: Keys) -> bool:
        """Whether it is by the key that a token has, or names, now."""
        key = _holder(token, keys)
        return key is not None and key.thumbprint == self.key[0]


class UnrecordedError(Exception):
    """A proof that was right, but for that it may have been used at another process: `record` it, and ask again."""

    def __init__(self, record: ProofRecord) -> None:
        super().__init__("a proof that is not recorded")
        self.record = record


def prove(
    token: VerifiedToken, request: Request, uri: str, *, keys: Keys, replays: Replays, wall: float
) -> ProofRecord:
    """The proof that whoever sends a request holds its token. Raises RefusedError: POP_FAILED, RATE_LIMITED."""
    key = _holder(token, keys)
    if key is None:
        raise _failed("the key that its token names is not known")
    try:
        proof = read_proof(request, uri)
    except DecodeError as exc:
        raise RefusedError(ErrorCode.POP_FAILED, f"signature of the request: {exc}") from exc
    replays.check(proof, key, token.account, wall)
    # No token has a cti of this length.
    nonce = b"nonce" + hashlib.sha256(proof.nonce.encode()).digest()
    until = proof.created + WINDOW + SKEW
    # Proofs take no room from tokens that are counted: no name of an account has a line of its own.
    return ProofRecord(f"{token.account}\nproofs", (key.thumbprint, nonce), until, proof.digest)


def _holder(token: VerifiedToken, keys: Keys) -> PublicKey | None:
    """The key that a token has, or names as one that the server knows. With a secret nobody would prove anything."""
    cnf = token.claims.cnf
    if cnf is None:
        return None
    if cnf.key is not None:
        return read_public_key(cnf.key)
    registered = keys(cnf.kid or cnf.thumbprint or b"")
    if registered is None or isinstance(registered.key, HmacKey):
        return None
    return registered.key if cnf.thumbprint in (None, registered.key.thumbprint) else None


def check_object(proof: ProofRecord, operation: Operation, names: tuple[ObjectName, ...]) -> None:
    """An object that is to be stored is the one whose digest is signed; of a signed name, that there is one.

    Raises RefusedError (POP_FAILED).
    """
    hashes = [name.value if isinstance(name, Name) else proof.digest for name in names]
    if operation is Operation.PUT and any(one is None or proof.digest != one for one in hashes):
        raise _failed("its Content-Digest is not that of the object")


def check_digest(digest: bytes | None, name: Name) -> None:
    """An object is the one whose digest is signed, if one is. Raises RefusedError (POP_FAILED)."""
    if digest is not None and digest != name.value:
        raise _failed("its Content-Digest is not that of the object")


def check_body(digest: bytes | None, body: bytes) -> None:
    """A message is the one whose digest is signed. Raises RefusedError (POP_FAILED)."""
    if digest is not None and hashlib.sha256(body).digest() != digest:
        raise _failed("its Content-Digest is not that of its body")


def _failed(reason: str) -> RefusedError:
    return RefusedError(ErrorCode.POP_FAILED, f"signature of the request: {reason}")


def _base(request: Request, uri: str, covered: tuple[str, ...], parameters: str) -> bytes:
    """What is signed (RFC 9421 section 2.5). Raises DecodeError if a field that it covers is not there."""
    lines = [f'"{name}": {_value(request, uri, name)}' for name in covered]
    text = "\n".join((*lines, f'"@signature-params": {parameters}'))
    if not text.isascii():
        raise DecodeError("Signature-Input: what it covers is not ASCII")
    return text.encode()


def _value(request: Request, uri: str, name: str) -> str:
    if name == _METHOD:
        return request.method
    if name == _URI:
        return uri
    value = request.header(name)
    if value is None or "\n" in value:
        raise DecodeError(f"Signature-Input: {name} is not there")
    return value.strip(" \t")


def _members(field: str | None, pattern: re.Pattern[str], what: str) -> list[re.Match[str]]:
    """The members of a dictionary, each of the form that is expected."""
    text = (field or "").strip(" ")
    if not text or len(text) > MAX_FIELD:
        raise DecodeError(f"{what}: not there, or over {MAX_FIELD} characters")
    found = []
    at = 0
    while at < len(text):
        member = pattern.match(text, at)
        if member is None:
            raise DecodeError(f"{what}: no dictionary of what it should have")
        found.append(member)
        at = member.end()
    return found


def _find_input(field: str | None) -> tuple[str, str, str]:
    members = _members(field, _INPUT, "Signature-Input")
    ours = [member for member in members if ("tag", f'"{TAG}"') in _PARAMETER.findall(member[3])]
    if len(ours) != 1 or sum(member[1] == ours[0][1] for member in members) != 1:
        raise DecodeError(f'Signature-Input: not exactly one signature with the tag "{TAG}"')
    return ours[0][1], ours[0][2], ours[0][3]


def _find_octets(field: str | None, label: str, what: str) -> bytes:
    found = [member[2] for member in _members(field, _OCTETS, what) if member[1] == label]
    if len(found) != 1:
        raise DecodeError(f"{what}: not exactly one {label}")
    try:
        return base64.b64decode(found[0], validate=True)
    except binascii.Error as exc:
        raise DecodeError(f"{what}: no base64") from exc


def _read_components(listed: str) -> tuple[str, ...]:
    covered = []
    for component in _COMPONENTS.finditer(listed):
        name = component[1][1:-1]
        if component[2] or name not in (_METHOD, _URI, _AUTHORIZATION, _DIGEST) or name in covered:
            raise DecodeError(f"Signature-Input: {name!r:.40} is covered, which is not supported")
        covered.append(name)
    return tuple(covered)


def _read_parameters(parameters: str) -> Mapping[str, str]:
    read: dict[str, str] = {}
    for name, value in _PARAMETER.findall(parameters):
        if name in read or name not in _TEXTS | _TIMES:
            raise DecodeError(f"Signature-Input: the parameter {name:.40} is there twice, or is not supported")
        if name in _TIMES:
            if not _TIME.fullmatch(value):
                raise DecodeError(f"Signature-Input: {name} is no time")
            read[name] = value
        elif value.startswith('"') and "\\" not in value:
            read[name] = value[1:-1]
        else:
            raise DecodeError(f"Signature-Input: {name} is no string, or has escapes")
    return read


def _spelled(name: str, value: str) -> str:
    return value if name in _TIMES else f'"{value}"'
