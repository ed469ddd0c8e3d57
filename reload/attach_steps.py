"""What `Attaches` wants done: each step is for the node to take (RFC 6940 sections 6.5.1 and 6.5.2)."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from reload.contents import ErrorResponse
from reload.destinations import Destination
from reload.events import CandidatesWanted, ConnectionAbandoned, ConnectionWanted
from reload.exchange import Reply, Request
from reload.methods import AppAttachReq, AttachReqAns


@attrs.frozen
class Ask:
    """Send this request, with retransmissions, and tell its number with `Attaches.asked`."""

    attach: int
    destination_list: tuple[Destination, ...]
    message_code: int
    body: AttachReqAns | AppAttachReq


@attrs.frozen
class Tell:
    """Answer this request, for which `Attaches.on_request` had None."""

    request: Request
    reply: Reply


@attrs.frozen
class Withdraw:
    """Stop to retransmit this request; what is answered is of no interest."""

    transaction: int


@attrs.frozen
class AttachEnded:
    """What became of an Attach of this node: the peer that there is a connection to, or None and why."""

    attach: int
    peer: bytes | None
    application: int | None = None
    error: ErrorResponse | None = None
    reason: str = ""


Step: TypeAlias = Ask | Tell | Withdraw | AttachEnded | CandidatesWanted | ConnectionWanted | ConnectionAbandoned


@attrs.frozen
class Established:
    """Whom a new connection leads to; with `send_update` the peer has asked for an Update."""

    peer: bytes
    send_update: bool
    application: int | None
