"""Whole messages: header, contents and security block (RFC 6940 section 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from reload import extensions, methods, storage_messages
from reload._presentation import decode, encode
from reload.contents import ErrorResponse, MessageCode, MessageContents
from reload.errors import DecodeError
from reload.header import ForwardingHeader, decode_header, encode_header
from reload.security_block import SecurityBlock

BODIES: Mapping[int, type[Any]] = MappingProxyType(
    {
        MessageCode.PROBE_REQ: methods.ProbeReq,
        MessageCode.PROBE_ANS: methods.ProbeAns,
        MessageCode.ATTACH_REQ: methods.AttachReqAns,
        MessageCode.ATTACH_ANS: methods.AttachReqAns,
        MessageCode.STORE_REQ: storage_messages.StoreReq,
        MessageCode.STORE_ANS: storage_messages.StoreAns,
        MessageCode.FETCH_REQ: storage_messages.FetchReq,
        MessageCode.FETCH_ANS: storage_messages.FetchAns,
        MessageCode.FIND_REQ: storage_messages.FindReq,
        MessageCode.FIND_ANS: storage_messages.FindAns,
        MessageCode.JOIN_REQ: methods.JoinReq,
        MessageCode.JOIN_ANS: methods.JoinAns,
        MessageCode.LEAVE_REQ: methods.LeaveReq,
        MessageCode.LEAVE_ANS: methods.Empty,
        MessageCode.UPDATE_REQ: methods.ChordUpdate,
        MessageCode.UPDATE_ANS: methods.Empty,
        MessageCode.ROUTE_QUERY_REQ: methods.RouteQueryReq,
        MessageCode.ROUTE_QUERY_ANS: methods.ChordRouteQueryAns,
        MessageCode.PING_REQ: methods.PingReq,
        MessageCode.PING_ANS: methods.PingAns,
        MessageCode.STAT_REQ: storage_messages.StatReq,
        MessageCode.STAT_ANS: storage_messages.StatAns,
        MessageCode.APP_ATTACH_REQ: methods.AppAttachReq,
        MessageCode.APP_ATTACH_ANS: methods.AppAttachAns,
        MessageCode.CONFIG_UPDATE_REQ: methods.ConfigUpdateReq,
        MessageCode.CONFIG_UPDATE_ANS: methods.Empty,
        MessageCode.PATH_TRACK_REQ: extensions.PathTrackReq,
        MessageCode.PATH_TRACK_ANS: extensions.PathTrackAns,
        MessageCode.ERROR: ErrorResponse,
    }
)
"""The structure of the body, by message code; those that a topology defines are CHORD-RELOAD's."""


@attrs.define
class Message:
    """A message, unfragmented. `signed` are the octets of the contents as they came: a signature is over them."""

    header: ForwardingHeader
    contents: MessageContents
    security_block: SecurityBlock
    signed: bytes = attrs.field(default=b"", eq=False, repr=False)


def decode_message(data: bytes, *, node_id_length: int = 16) -> Message:
    """The message that `data` is, all of it. Raises DecodeError, also for a fragment."""
    header, start = decode_header(data, node_id_length=node_id_length)
    if not header.is_whole:
        raise DecodeError("Message: a fragment")
    end = len(data)
    contents, at = MessageContents._decode(data, start, end, node_id_length)  # type: ignore[attr-defined]
    block, stop = SecurityBlock._decode(data, at, end, node_id_length)  # type: ignore[attr-defined]
    if stop != end:
        raise DecodeError(f"Message: {end - stop} octets too many behind offset {stop}")
    return Message(header, contents, block, data[start:at])


def encode_message(message: Message, *, node_id_length: int = 16) -> bytes:
    """The octets of a message. Raises EncodeError."""
    payload = encode(message.contents, node_id_length=node_id_length) + encode(
        message.security_block, node_id_length=node_id_length
    )
    return encode_header(message.header, len(payload), node_id_length=node_id_length) + payload


def decode_body(contents: MessageContents, *, node_id_length: int = 16) -> Any:
    """The body as its structure; the octets, for a code without one. Raises DecodeError."""
    of = BODIES.get(contents.message_code)
    return contents.message_body if of is None else decode(of, contents.message_body, node_id_length=node_id_length)
