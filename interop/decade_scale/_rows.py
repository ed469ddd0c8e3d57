"""Rows of objects as Redis has them: a hash each, whose fields are text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from decade.memberships import read_collections, write_collections
from decade.named import Binding
from decade.names import SHA_256, Name
from decade.policy import parents
from decade.ports import NodePath, Row
from decade.values import SignedName
from interop.decade_scale._engine import MAX_NUMBER, Argument


def node_of(path: NodePath) -> str:
    """A node of the policy tree as a field or a part of a key: ASCII, whatever is in its names."""
    return json.dumps(path)


def nodes_of(row: Row) -> tuple[str, ...]:
    """The nodes that hold an object, from the provider down to the one that pays."""
    return tuple(node_of(path) for path in (*parents(row.payer), row.payer))


def fields_of(row: Row) -> list[Argument]:
    """Size, nodes, creation, expiry, media type and collections of a new row."""
    return [row.size, json.dumps(nodes_of(row)), row.created, *attributes_of(row)]


def attributes_of(row: Row) -> tuple[Argument, Argument, Argument]:
    """Expiry, media type and collections."""
    return expiry_of(row), row.media_type or "", write_collections(row.collections)


def expiry_of(row: Row) -> Argument:
    """When a row expires; empty for never."""
    return "" if row.expires is None else min(row.expires, MAX_NUMBER)


def read_row(account: str, value: bytes, fields: Sequence[bytes]) -> Row:
    """A row from all its fields."""
    size, nodes, created, expires, media_type, reads, octets_read, last_read, collections = fields
    return Row(
        account=account,
        name=Name(SHA_256, value),
        size=int(size),
        payer=tuple(json.loads(json.loads(nodes)[-1])),
        created=int(created),
        expires=int(expires) if expires else None,
        media_type=media_type.decode() if media_type else None,
        reads=int(reads),
        octets_read=int(octets_read),
        last_read=int(last_read) if last_read else None,
        # Rows that were stored before there were collections have no such field.
        collections=read_collections(collections.decode()) if collections else (),
    )


def field_of(signed: SignedName) -> bytes:
    """A signed name: the value of the publisher, which has 32 octets, and the label."""
    return signed.publisher.value + signed.label


def read_binding(signed: SignedName, found: bytes | None) -> Binding | None:
    """What is bound to a signed name: 32 octets of the object's name, and the signature."""
    return None if found is None else Binding(signed, Name(SHA_256, found[:32]), found[32:])
