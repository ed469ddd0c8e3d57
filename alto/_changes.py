"""What leads from one answer of a resource to its next, as update streams and TIPS send it (RFC 8895 section 6.3)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from attrs import frozen

from alto import media
from alto._json import JsonError, dumps
from alto.directory import Document
from alto.patch import InexpressibleError, json_diff, json_equal, merge_diff

MAX_COMPARED = 12 * 2**20
"""Octets of two documents that are compared value by value while others wait: some tenths of a second. What is longer,
and was not compared ahead, is sent as a whole."""
MIN_AHEAD = 2**18
"""Octets of a document from which it is worth to compare it ahead: below, that takes milliseconds."""


@frozen
class Change:
    """A patch of the media type."""

    media_type: str
    text: bytes


NOTHING = Change("", b"")
"""The change between two documents that say the same."""


class Changes:
    """Finds the changes between the documents of one resource, as far as clients were told to expect such patches."""

    def __init__(self, patch_types: Sequence[str]) -> None:
        self._types = patch_types
        self._known: tuple[Document, Document, Change | None] | None = None

    def find_ahead(self, old: Document, new: Document) -> None:
        """Find out what `between` will be asked for. Another thread may do it, and may take its time."""
        self._known = (old, new, _between(old, new, self._types, None))

    def between(self, old: Document, new: Document) -> Change | None:
        """The shortest change, or NOTHING; None where the whole is to be sent: it is as short, or no patch can say it.

        A member that becomes null is nothing that a merge patch could say: a JSON patch does where clients were told
        to expect it, else the whole has to be sent.
        """
        known = self._known
        if known is not None and known[0] is old and known[1] is new:
            return known[2]
        return _between(old, new, self._types, MAX_COMPARED)


def _between(old: Document, new: Document, types: Sequence[str], limit: int | None) -> Change | None:
    with contextlib.suppress(InexpressibleError, JsonError):
        merge_patch = new.merge_patch_from(old)
        if merge_patch == {} or old.body == new.body:
            return NOTHING
        if merge_patch is not None and media.MERGE_PATCH in types:
            found = [Change(media.MERGE_PATCH, dumps(merge_patch))]
        elif limit is not None and len(old.body) + len(new.body) > limit:
            return None
        elif json_equal(old.tree, new.tree):
            return NOTHING
        else:
            found = _patches(old, new, types)
        shortest = min(found, key=lambda change: len(change.text), default=None)
        return shortest if shortest is not None and len(shortest.text) < len(new.body) else None
    return None


def _patches(old: Document, new: Document, types: Sequence[str]) -> list[Change]:
    found = []
    if media.MERGE_PATCH in types:
        with contextlib.suppress(InexpressibleError):
            found.append(Change(media.MERGE_PATCH, dumps(merge_diff(old.tree, new.tree))))
    if media.JSON_PATCH in types:
        found.append(Change(media.JSON_PATCH, dumps(json_diff(old.tree, new.tree))))
    return found
