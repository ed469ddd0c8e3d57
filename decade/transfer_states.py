"""The states of an object of a transfer between servers, and what moves it (PROFILE.md section 11)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from decade.messages import TransferState


class ItemState(Enum):
    """How far an object is."""

    QUEUED = "queued"
    CONNECT = "connect"
    REQUEST = "request"
    BODY = "body"
    BACKOFF = "backoff"
    COMMIT = "commit"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemEvent(Enum):
    """What happens to it."""

    START = "a place is free"
    CONNECTED = "the connection is there"
    MISSING = "the remote server has not got it"
    REDIRECTED = "it is elsewhere"
    ACCEPTED = "there is room for it"
    BODY = "octets"
    WHOLE = "all octets, and they have this name"
    HELD = "it is where it is to be"
    BUSY = "the remote server has no time"
    CUT = "the connection is gone"
    DUE = "the pause is over"
    FAIL = "it cannot be done"
    CANCEL = "nobody wants it any more"


_ENDS = {ItemEvent.FAIL: ItemState.FAILED, ItemEvent.CANCEL: ItemState.CANCELLED}
ITEM_TABLE: Mapping[ItemState, Mapping[ItemEvent, ItemState]] = MappingProxyType(
    {
        ItemState.QUEUED: {ItemEvent.START: ItemState.CONNECT, **_ENDS},
        ItemState.CONNECT: {
            ItemEvent.CONNECTED: ItemState.REQUEST,
            ItemEvent.HELD: ItemState.DONE,
            ItemEvent.CUT: ItemState.BACKOFF,
            **_ENDS,
        },
        ItemState.REQUEST: {
            ItemEvent.ACCEPTED: ItemState.BODY,
            ItemEvent.HELD: ItemState.DONE,
            ItemEvent.MISSING: ItemState.CONNECT,
            ItemEvent.REDIRECTED: ItemState.CONNECT,
            ItemEvent.BUSY: ItemState.BACKOFF,
            ItemEvent.CUT: ItemState.BACKOFF,
            **_ENDS,
        },
        ItemState.BODY: {
            ItemEvent.BODY: ItemState.BODY,
            ItemEvent.WHOLE: ItemState.COMMIT,
            ItemEvent.HELD: ItemState.DONE,
            ItemEvent.REDIRECTED: ItemState.CONNECT,
            ItemEvent.BUSY: ItemState.BACKOFF,
            ItemEvent.CUT: ItemState.BACKOFF,
            **_ENDS,
        },
        ItemState.BACKOFF: {ItemEvent.DUE: ItemState.QUEUED, **_ENDS},
        # What is being stored can no longer be called back.
        ItemState.COMMIT: {ItemEvent.HELD: ItemState.DONE, ItemEvent.FAIL: ItemState.FAILED},
        ItemState.DONE: {},
        ItemState.FAILED: {},
        ItemState.CANCELLED: {},
    }
)
"""What is absent changes nothing."""
RUNNING = frozenset({ItemState.CONNECT, ItemState.REQUEST, ItemState.BODY, ItemState.COMMIT})
"""The states in which an object has an exchange with the remote server, or is being stored."""
ENDED = frozenset({ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED})
ON_THE_WIRE: Mapping[ItemState, TransferState] = MappingProxyType(
    {
        ItemState.QUEUED: TransferState.QUEUED,
        ItemState.DONE: TransferState.DONE,
        ItemState.FAILED: TransferState.FAILED,
        ItemState.CANCELLED: TransferState.CANCELLED,
    }
)
"""The states as messages have them; all others are RUNNING."""


class Trouble(Enum):
    """Why an exchange came to nothing: no connection; an address that may not be asked; an end before the end."""

    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    CUT = "cut"
