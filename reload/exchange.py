"""Requests and responses as the parts of a node pass them to each other: decoded, and their signatures hold."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from reload.contents import ErrorResponse, MessageExtension
from reload.header import ForwardingHeader
from reload.ports import Identity
from reload.security_block import GenericCertificate

Link: TypeAlias = int
"""A connection to a neighbour, by the number that `Node.link_established` gave it."""


@attrs.frozen
class Request:
    """A request for this node. `body` is the structure of `message_code`, `previous_hop` the Node-ID it came from."""

    message_code: int
    body: Any
    identity: Identity
    header: ForwardingHeader
    link: Link
    previous_hop: bytes
    certificates: tuple[GenericCertificate, ...] = ()
    extensions: tuple[MessageExtension, ...] = ()

    @property
    def is_direct(self) -> bool:
        """Whether its signer has sent it over a link of its own, and not only forwarded it.

        Anybody can have a node forward an old request of that very node. Whoever forwards adds to the Via List.
        """
        return self.previous_hop == self.identity.node_id and not self.header.via_list


@attrs.frozen
class Answer:
    """What to answer; the message code is that of the request and 1. `certificates` are of the values in the body."""

    body: Any
    extensions: tuple[MessageExtension, ...] = ()
    certificates: tuple[GenericCertificate, ...] = ()


Reply: TypeAlias = Answer | ErrorResponse


@attrs.frozen
class Response:
    """The answer to a request of this node; `received` is the time, as `now`, when it came."""

    transaction: int
    message_code: int
    body: Any
    identity: Identity
    header: ForwardingHeader
    certificates: tuple[GenericCertificate, ...] = ()
    extensions: tuple[MessageExtension, ...] = ()
    received: float = 0.0


@attrs.frozen
class Failure:
    """A request of this node that has failed: by an error of `identity`, or with `error` None for want of an answer."""

    transaction: int
    error: ErrorResponse | None = None
    identity: Identity | None = None
    reason: str = ""


Outcome: TypeAlias = Response | Failure
