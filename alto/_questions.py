"""What services ask resources again and again, on behalf of those who wait for changes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable

from attrs import frozen

from alto._changes import MIN_AHEAD
from alto._json import Json, canonical
from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import AltoError
from alto.ports import Resource


class _WatchedContext(RequestContext):
    """A context that notes whether an answer looked at who asks."""

    is_personal = False

    def __getattribute__(self, name: str) -> object:
        if name in ("client", "user"):
            object.__setattr__(self, "is_personal", True)
        return super().__getattribute__(name)


@frozen
class Question:
    """What a resource is asked again and again, for a client that asked it at `asked_at`."""

    resource_id: str
    input: Json
    context: RequestContext
    asked_at: float
    is_private: bool
    random_bytes: Callable[[int], bytes]

    def digest(self) -> bytes:
        """Equal for equal input."""
        return hashlib.sha256(canonical(self.input)).digest()

    def ask(self, resource: Resource, directory: Directory, now: float) -> tuple[Document, bool]:
        """The answer as of now, and whether it is for this client alone. Raises RequestError."""
        asked = self.context
        watched = _WatchedContext(directory, asked.client, asked.base_uri, asked.user, asked.wall + now - self.asked_at)
        document = resource.answer(Query(watched, self.input, random_bytes=self.random_bytes))
        document.body  # noqa: B018 - it may be made only now
        return document, watched.is_personal

    def ask_ahead(self, resource: Resource, directory: Directory, held: Document) -> Document | None:
        """What is to take the place of a large document that everybody may GET; None for others, and where nothing is.

        It is of use where the resource gives the same document whenever it is asked.
        """
        if self.input is not None or self.is_private or resource.is_private or len(held.body) < MIN_AHEAD:
            return None
        with contextlib.suppress(AltoError):
            document, _ = self.ask(resource, directory, self.asked_at)
            if document is not held:
                return document
        return None


def depths(directory: Directory, names: Iterable[str]) -> dict[str, int]:
    """How far each resource is from those that use nothing: what others use comes first."""
    found: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in found:
            resource = directory.resources.get(name)
            used = () if resource is None else [inner for inner in resource.uses if inner not in above]
            found[name] = 1 + max((depth(inner, above | {inner}) for inner in used), default=0)
        return found[name]

    for name in names:
        depth(name, frozenset((name,)))
    return found
