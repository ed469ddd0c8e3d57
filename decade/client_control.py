"""What a client asks by the resource protocol, as plans, which `client_exchange` explains (RFC 7069 section 6.2)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

import attrs

from decade.client_exchange import (
    Credential,
    Exchange,
    Failure,
    Plan,
    RandomBytes,
    Receiver,
    as_text,
    ask,
    body_of,
    first_of,
    unexpected,
)
from decade.discovery import INFO_PATH
from decade.errors import DecodeError, ErrorCode
from decade.http import Headers, Request, Response
from decade.messages import (
    MEDIA_TYPE,
    VERSION,
    AccessLog,
    AttrPatch,
    Challenge,
    ChallengeRequest,
    Claim,
    DistributionLog,
    Message,
    ObjectInfo,
    ObjectList,
    ResourcePolicy,
    Revocation,
    ServerInfo,
    Status,
    TokenRequest,
    TokenResponse,
    TransferRequest,
    TransferStatus,
    decode_message,
    encode_message,
)
from decade.names import Name

_M = TypeVar("_M", bound=Message)


def server_info(server: str, *, random_bytes: RandomBytes = secrets.token_bytes) -> Plan[ServerInfo]:
    """What a server is and has, which it tells everybody. Raises FailedError, also for one of another version."""

    def attempt(one: str) -> Plan[ServerInfo | Failure]:
        info = yield from _read(ServerInfo, Request("GET", one + INFO_PATH), ())
        if isinstance(info, ServerInfo) and VERSION not in info.versions:
            return Failure(one, 200, ErrorCode.UNSUPPORTED_VERSION, f"it does not speak version {VERSION}")
        return info

    info, _ = yield from first_of([server], attempt, random_bytes)
    return info


@attrs.frozen
class Control:
    """The resources of an account at a server. `base`: of their URIs, as server-info says.

    Each plan raises FailedError.
    """

    base: str
    credentials: Sequence[Credential]
    random_bytes: RandomBytes = secrets.token_bytes

    def status(self) -> Plan[Status]:
        """What the account, or the application that pays for the token, has and uses."""
        return self._get(Status, "status")

    def policy(self, app: str | None = None) -> Plan[ResourcePolicy]:
        """The policy of the account, or of an application of it."""
        return self._get(ResourcePolicy, _policy_path(app))

    def put_policy(self, policy: ResourcePolicy, app: str) -> Plan[None]:
        """Give an application its share; it is made if there is none."""
        return self._send("PUT", _policy_path(app), policy)

    def delete_policy(self, app: str) -> Plan[None]:
        """Take the node of an application away."""
        return self._send("DELETE", _policy_path(app))

    def objects(self, cursor: bytes | None = None) -> Plan[ObjectList]:
        """A page of the account's objects, from where the page before has ended."""
        return self._get(ObjectList, "objects" if cursor is None else f"objects?cursor={as_text(cursor)}")

    def object_info(self, name: Name) -> Plan[ObjectInfo]:
        """An object and its attributes."""
        return self._get(ObjectInfo, _object_path(name))

    def patch_object(self, name: Name, patch: AttrPatch) -> Plan[None]:
        """Change attributes of an object."""
        return self._send("PATCH", _object_path(name), patch)

    def revoke(self, revocation: Revocation) -> Plan[None]:
        """Make tokens of the account worthless."""
        return self._send("POST", "revocations", revocation)

    def start_transfer(self, request: TransferRequest) -> Plan[TransferStatus]:
        """Have the server fetch objects from another one, or send it some. An idempotency key makes it repeatable."""
        return self._get(TransferStatus, "transfers", "POST", request)

    def transfer(self, transfer_id: bytes) -> Plan[TransferStatus]:
        """How far a transfer is."""
        return self._get(TransferStatus, f"transfers/{transfer_id.hex()}")

    def cancel_transfer(self, transfer_id: bytes) -> Plan[None]:
        """End a transfer; what is done of it stays."""
        return self._send("DELETE", f"transfers/{transfer_id.hex()}")

    def tokens(self, request: TokenRequest) -> Plan[TokenResponse]:
        """Have the server mint tokens, if it has the feature "mint"."""
        return self._get(TokenResponse, "tokens", "POST", request)

    def challenge(self, name: Name) -> Plan[Challenge]:
        """Ask for a seed, to show that an object is there, if the server has the feature "challenge"."""
        return self._get(Challenge, "challenges", "POST", ChallengeRequest(name=name))

    def claim(self, claim: Claim) -> Plan[None]:
        """Store an object that the server has already, by the answer to its challenge."""
        return self._send("POST", "claims", claim)

    def access_log(self, start: int, end: int | None = None, cursor: bytes | None = None) -> Plan[AccessLog]:
        """A page of who has read what since a Unix time, if the server has the feature "access-log"."""
        return self._get(AccessLog, _log_path("access-log", start, end, cursor))

    def distribution_log(
        self, start: int, end: int | None = None, cursor: bytes | None = None
    ) -> Plan[DistributionLog]:
        """A page of where objects went since a Unix time, if the server has the feature "distribution-log"."""
        return self._get(DistributionLog, _log_path("distribution-log", start, end, cursor))

    def _get(self, cls: type[_M], path: str, method: str = "GET", message: Message | None = None) -> Plan[_M]:
        def attempt(_: str) -> Plan[_M | Failure]:
            return (yield from _read(cls, self._request(method, path, message), self.credentials))

        answer, _ = yield from first_of([self.base], attempt, self.random_bytes)
        return answer

    def _send(self, method: str, path: str, message: Message | None = None) -> Plan[None]:
        def attempt(_: str) -> Plan[Response | Failure]:
            return (yield from ask(Exchange(self._request(method, path, message), Receiver()), self.credentials))

        yield from first_of([self.base], attempt, self.random_bytes)

    def _request(self, method: str, path: str, message: Message | None) -> Request:
        body = b"" if message is None else encode_message(message)
        kind: Headers = () if message is None else (("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))))
        return Request(method, self.base + path, kind, body)


def _read(cls: type[_M], request: Request, credentials: Sequence[Credential]) -> Plan[_M | Failure]:
    receiver = Receiver()
    response = yield from ask(Exchange(request, receiver), credentials)
    if isinstance(response, Failure):
        return response
    try:
        message = decode_message(body_of(response))
    except DecodeError as error:
        return unexpected(request.target, response, str(error)[:200])
    if isinstance(message, cls):
        return message
    return unexpected(request.target, response, f"a message of another kind than {cls.__name__}")


def _policy_path(app: str | None) -> str:
    return "policy" if app is None else f"policy/{quote(app, safe='')}"


def _log_path(log: str, start: int, end: int | None, cursor: bytes | None) -> str:
    to = "" if end is None else f"&to={end}"
    return f"{log}?from={start}{to}" + ("" if cursor is None else f"&cursor={as_text(cursor)}")


def _object_path(name: Name) -> str:
    return f"objects/{name.algorithm}/{name.text}"
