"""What the machines between a socket and the node tell the driver (RFC 6940 section 6.6).

`SimpleReliability` runs over datagrams, `FramedStream` over a stream: one of them for each connection, inside of DTLS
or TLS. The driver gives messages of `Node.messages_to_send` to `send_message`, and `MessageReceived` to the node.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs


@attrs.frozen
class MessageReceived:
    """A message, or a fragment, for `Node.receive_message`."""

    message: bytes


@attrs.frozen
class LinkFailing:
    """ACKs are overdue: for `Node.link_failing`, which routes around it. It may come back, or close."""


@attrs.frozen
class LinkRestored:
    """ACKs come again on a link that was failing: for `Node.link_restored`."""


@attrs.frozen
class LinkClosed:
    """The connection is of no use any more: close it, and tell `Node.link_lost`. No other event follows."""

    reason: str


@attrs.frozen
class FrameDropped:
    """What came had no effect."""

    reason: str


LinkEvent: TypeAlias = MessageReceived | LinkFailing | LinkRestored | LinkClosed | FrameDropped

MAX_DROP_EVENTS = 64
"""`FrameDropped` events that wait to be read; more of them are not kept."""
