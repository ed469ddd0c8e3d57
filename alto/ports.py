"""What a server is made of, and what an application may bring of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from alto._json import Json
from alto.http import Answer, Pending, Request, Stream
from alto.types import CostType

if TYPE_CHECKING:
    from alto.directory import Directory, Document, Query, RequestContext


class Resource(Protocol):
    """An information resource (RFC 7285 section 9.1): immutable, and replaced as a whole when its data changes."""

    @property
    def id(self) -> str:
        """Its resource ID."""

    @property
    def media_type(self) -> str:
        """What it answers with, as the IRD says it; parameters included."""

    @property
    def accepts(self) -> str | None:
        """The media type of what is posted to it; None for a resource that one GETs."""

    @property
    def uses(self) -> tuple[str, ...]:
        """The IDs of the resources it depends on, as the IRD lists them."""

    @property
    def cost_types(self) -> Mapping[str, CostType]:
        """The cost types that its capabilities name, by their name in the IRD."""

    @property
    def is_private(self) -> bool:
        """Only for clients that have proven who they are; never stored by a cache."""

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """The `capabilities` of its IRD entry; empty where it has none."""

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """What its answers are made of, compared by equality: while this is equal, so is the answer to one input.

        Usually the tags of its own data and of the resources it reads, whether or not `uses` may name them.
        """

    def answer(self, query: Query) -> Document:
        """The answer to a GET (no input) or to a POST. Raises RequestError."""


class Service(Protocol):
    """A resource with state and URIs of its own: an update stream service or TIPS.

    The server routes to it whatever lies at or below its URI. All it holds for clients is bounded by its limits.
    """

    @property
    def id(self) -> str: ...
    @property
    def media_type(self) -> str: ...
    @property
    def accepts(self) -> str | None: ...
    @property
    def uses(self) -> tuple[str, ...]: ...
    @property
    def is_private(self) -> bool: ...
    def capabilities(self, directory: Directory) -> dict[str, Json]: ...

    def handle(self, request: Request, tail: str, context: RequestContext, now: float) -> Answer:
        """Answer a request to its URI (`tail` is empty) or to one below (`tail` starts with a slash).

        The server has authenticated the client and checked nothing else. Raises RequestError.
        """

    def find_ahead(self, directory: Directory) -> None:
        """Do ahead what takes time when `directory` holds, and change nothing. It may be called in another thread."""

    def changed(self, directory: Directory, now: float) -> None:
        """Resources were replaced: `directory` is what holds from now on."""

    def next_ready(self) -> Stream | Pending | None:
        """A stream that has octets to send, or a long poll that is answered, each once a change; None at the end."""

    def get_timer(self) -> float | None: ...
    def handle_timer(self, now: float) -> None: ...
    def close(self, description: str) -> None:
        """End what goes on, and say why where there is a way to."""


Costs: TypeAlias = Sequence[Sequence[Json]]
"""A row for each source with a cost for each destination; None where there is none."""


class EndpointCosts(Protocol):
    """Where an endpoint cost service gets its costs, if not from a network map and a cost map."""

    def costs(self, sources: Sequence[str], destinations: Sequence[str]) -> Costs:
        """The costs between typed endpoint addresses such as `ipv4:192.0.2.2`."""

    @property
    def version(self) -> object:
        """Differs whenever the costs do."""
