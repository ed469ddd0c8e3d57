"""What an update stream client tells its application."""

from collections.abc import Mapping
from typing import TypeAlias

from attrs import field, frozen

from alto._json import Json
from alto.client.errors import ServerError
from alto.http import Request
from alto.types import VTag


@frozen
class StreamOpened:
    """The server sends updates; `control_uri` is absolute, and None without stream control."""

    control_uri: str | None


@frozen
class ResourceUpdated:
    """A document as it is now, consistent with the others of the stream. Need not differ from the one before."""

    substream_id: str
    resource_id: str
    tree: Json
    """The document; None for a multipart one. It is shared: do not change it."""
    parts: Mapping[str, Json] = field(factory=dict, hash=False)
    """The documents of a multipart one, by Content-ID."""
    vtag: VTag | None = None
    """The version of the document, or of the first part that has one."""
    is_incremental: bool = False
    """Whether only changes were sent."""


@frozen
class ResourceInvalidated:
    """What the document is based on has changed: it must not be used until the next update (section 9.2)."""

    substream_id: str


@frozen
class SubstreamsStarted:
    """The server will send updates of these."""

    substream_ids: tuple[str, ...]


@frozen
class SubstreamsStopped:
    """The server sends no more updates of these, whoever has wanted that (section 10.3)."""

    substream_ids: tuple[str, ...]
    description: str | None


@frozen
class StreamMoved:
    """The server asks for the request to be sent to another URI: take the client's `request` again."""

    uri: str


@frozen
class StreamRefused:
    """The server has opened no stream."""

    error: ServerError


@frozen
class ControlRefused:
    """A stream control request has failed; what was to be added is not."""

    substream_ids: tuple[str, ...]
    error: ServerError


@frozen
class StreamBroken:
    """The stream is of no more use, for this reason: close the connection, and open another by `resumption`."""

    reason: str


@frozen
class StreamEnded:
    """The server has closed the stream. `is_complete`: after it had stopped every substream."""

    is_complete: bool


Event: TypeAlias = (
    StreamOpened
    | ResourceUpdated
    | ResourceInvalidated
    | SubstreamsStarted
    | SubstreamsStopped
    | StreamMoved
    | StreamRefused
    | ControlRefused
    | StreamBroken
    | StreamEnded
)


@frozen
class ControlRequest:
    """A request to the stream control service, whose response the client is to be given."""

    request: Request
    added: tuple[str, ...] = ()
