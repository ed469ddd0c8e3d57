"""What a client does with signed names, as plans, which `client_exchange` explains (PROFILE.md 14.14)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import attrs

from decade.client import EXPECT_FROM, MAX_OBJECT, Fetched
from decade.client_exchange import (
    Credential,
    Exchange,
    Failure,
    Plan,
    RandomBytes,
    Receiver,
    Sink,
    Source,
    ask,
    first_of,
    unexpected,
)
from decade.errors import DecodeError, ErrorCode
from decade.http import Request, Response, write_attrs
from decade.named import SIGNATURE_FIELD, Binding, named_path, read_signature, verify
from decade.values import SignedName

__all__ = ["delete_named", "fetch_named", "put_named"]


def fetch_named(
    signed: SignedName,
    servers: Sequence[str],
    sink: Sink,
    credentials: Sequence[Credential] = (),
    *,
    cost: Callable[[str], float] | None = None,
    max_size: int = MAX_OBJECT,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[tuple[Fetched, Binding]]:
    """Get what a publisher has given a label from the first of these origins that has it, as `decade.client.fetch`.

    Whatever a server says, the signature over the octets that came is the publisher's, or it counts as a failure. What
    was bound comes with it, for who hands it on. Raises FailedError.
    """

    def attempt(server: str) -> Plan[tuple[Fetched, Binding] | Failure]:
        receiver = Receiver(sink, max_size)
        request = Request("GET", server + named_path(signed), (("Accept-Encoding", "identity"),))
        response = yield from ask(Exchange(request, receiver), credentials)
        if isinstance(response, Failure):
            return response
        return _verified(server, response, receiver, signed, max_size)

    ordered = sorted(servers, key=cost) if cost is not None else servers
    (fetched, binding), failures = yield from first_of(ordered, attempt, random_bytes)
    return attrs.evolve(fetched, failures=failures), binding


def _verified(
    server: str, response: Response, receiver: Receiver, signed: SignedName, max_size: int
) -> tuple[Fetched, Binding] | Failure:
    if receiver.is_over:
        reason = f"over the {max_size} octets that are accepted"
        return Failure(server, response.status, ErrorCode.TOO_LARGE, reason)
    if response.status != 200:
        return unexpected(server, response, "no whole object")
    try:
        signature = read_signature(response.header(SIGNATURE_FIELD))
        binding = Binding(signed, receiver.digest.name, signature)
        verify(binding)
    except DecodeError as error:
        return unexpected(server, response, str(error))
    return Fetched(server, receiver.size, response.header("Content-Type")), binding


def put_named(
    binding: Binding,
    source: Source,
    server: str,
    credentials: Sequence[Credential],
    *,
    expires: int | None = None,
    media_type: str | None = None,
    collections: tuple[bytes, ...] = (),
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[bool]:
    """Store an object under the label that its publisher has given it (`decade.named.bind`): whether the account has
    not had it there before. The rest is as of `decade.client.put`. Raises FailedError: CONFLICT if it is another one's.
    """
    kind = () if media_type is None else (("Content-Type", media_type),)
    wait = (("Expect", "100-continue"),) if source.size >= EXPECT_FROM else ()
    name = (("Repr-Digest", binding.name.repr_digest), (SIGNATURE_FIELD, binding.text))
    headers = (("Content-Length", str(source.size)), *kind, *wait, *name, *write_attrs(expires, collections))

    def attempt(one: str) -> Plan[Response | Failure]:
        request = Request("PUT", one + named_path(binding.signed), headers)
        return (yield from ask(Exchange(request, Receiver(), source, binding.name.value), credentials))

    response, _ = yield from first_of([server], attempt, random_bytes)
    return response.status == 201


def delete_named(
    signed: SignedName,
    server: str,
    credentials: Sequence[Credential],
    *,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[None]:
    """Take a signed name away. The object stays, by its hash, until it is deleted or expires. Raises FailedError."""

    def attempt(one: str) -> Plan[Response | Failure]:
        return (yield from ask(Exchange(Request("DELETE", one + named_path(signed)), Receiver()), credentials))

    yield from first_of([server], attempt, random_bytes)
