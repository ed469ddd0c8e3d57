"""The updates graph of a TIPS view: versions of one resource, and the update items between them (RFC 9569 section 3).

Of RFC 9569 the late draft draft-ietf-alto-new-transport (2023-12-07) was at hand, not the published text: section
numbers are the draft's.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from attrs import frozen

from alto import media
from alto._changes import NOTHING, Changes
from alto.directory import Document

MAX_VERSIONS = 64
"""Versions that one graph keeps. A client that has missed more than these gets a snapshot; the paths stay short."""
MAX_GRAPH_OCTETS = 16 * 2**20
"""Octets of update items that one graph keeps, beyond what its last two versions need."""

_MILESTONES = 4
"""Of so many versions in a full graph the snapshot is kept, for the window to begin at."""

Edge = tuple[int, int]
"""From one version to a later one; version 0 is the empty one, from which the snapshots start (section 3.1)."""


@frozen
class UpdateItem:
    """What lies on an edge: a full replacement under the resource's media type, or a patch under its own."""

    media_type: str
    body: bytes


def cheapest_edge(costs: Mapping[Edge, int], sources: Collection[int], end: int) -> Edge | None:
    """The first edge of the cheapest path from any of `sources` to `end`; None where no path has an edge.

    `costs` has what each edge costs. Of paths that cost the same, one from a later version wins, then one with fewer
    messages.
    """
    best: dict[int, tuple[int, int]] = {end: (0, 0)}
    first: dict[int, Edge] = {}
    for edge in sorted(costs, key=lambda edge: (-edge[0], -edge[1])):
        if edge[1] not in best:
            continue
        cost, messages = best[edge[1]]
        candidate = (cost + costs[edge], messages + 1)
        if edge[0] not in best or candidate < best[edge[0]]:
            best[edge[0]] = candidate
            first[edge[0]] = edge
    reachable = [source for source in sources if source in first]
    if not reachable:
        return None
    return first[min(reachable, key=lambda source: (best[source][0], -source))]


class UpdatesGraph:
    """Versions [start_seq, end_seq] of one resource, each reached from the one before and some by a snapshot.

    It keeps the invariants of section 3.2: continuity, feasibility (the first version has a snapshot, and so has the
    last), and that it only shifts to the right. `patch_types` are the media types announced for incremental changes.
    """

    def __init__(
        self,
        document: Document,
        *,
        patch_types: Sequence[str] = (),
        max_versions: int = MAX_VERSIONS,
        max_octets: int = MAX_GRAPH_OCTETS,
    ) -> None:
        self._differences = Changes(patch_types)
        self._max_versions = max(2, max_versions)
        self._max_octets = max_octets
        self._spacing = max(1, self._max_versions // _MILESTONES)
        self.start_seq = self.end_seq = 1
        self._latest = document
        self._snapshots = {1: UpdateItem(document.media_type, document.body)}
        self._steps: dict[int, UpdateItem] = {}
        self._tags = {1: _tag_of(document)}
        self.octets = len(document.body)
        """What the update items take together."""

    def add(self, document: Document) -> bool:
        """A new version with this content; False, and no new version, where it is that of the latest.

        The step to it is the shortest of the announced patches and the full replacement.
        """
        step = self._step(document)
        if step is None:
            return False
        self._latest = document
        self._steps[self.end_seq] = step
        self.end_seq += 1
        self._snapshots[self.end_seq] = UpdateItem(document.media_type, document.body)
        self._tags[self.end_seq] = _tag_of(document)
        self.octets += len(step.body) + len(document.body)
        self._compact(self._max_octets)
        return True

    def find_ahead(self, document: Document) -> None:
        """Find out what will lead to a document that is to be added. Another thread may do it, and take its time."""
        self._differences.find_ahead(self._latest, document)

    def shrink(self) -> None:
        """Keep no more versions than the invariants ask for."""
        self._compact(0)

    @property
    def latest(self) -> Document:
        """The content of the last version."""
        return self._latest

    def item(self, i: int, j: int) -> UpdateItem | None:
        """What lies on the edge from `i` to `j`; None where there is no such edge."""
        if i == 0:
            return self._snapshots.get(j)
        return self._steps.get(i) if j == i + 1 else None

    def edges(self) -> Iterator[Edge]:
        """Every edge there is."""
        yield from ((0, seq) for seq in self._snapshots)
        yield from ((seq, seq + 1) for seq in self._steps)

    def tag(self, seq: int) -> str:
        """The tag of a version in the graph."""
        return self._tags[seq]

    def start_edge(self, tag: str | None) -> Edge:
        """The edge to begin with for a client that opens the view (section 6.2): with a `tag` that is here the first
        step from its version, if the steps are shorter together than the latest snapshot; else that snapshot."""
        known = self._seq_of(tag)
        snapshot = (0, self.end_seq)
        if known is None:
            return snapshot
        steps = sum(len(self._steps[seq].body) for seq in range(known, self.end_seq))
        return (known, known + 1) if steps < len(self._snapshots[self.end_seq].body) else snapshot

    def next_edge(self, tag: str | None) -> Edge:
        """The first edge of the path that costs the fewest octets (section 7.4.2), from the version with the `tag` or
        from 0. Who has the latest version is told the edge that comes next."""
        known = self._seq_of(tag)
        if known == self.end_seq:
            return known, known + 1
        costs = {(0, seq): len(item.body) for seq, item in self._snapshots.items()}
        costs.update({(seq, seq + 1): len(item.body) for seq, item in self._steps.items()})
        return cheapest_edge(costs, (0,) if known is None else (0, known), self.end_seq) or (0, self.end_seq)

    def _seq_of(self, tag: str | None) -> int | None:
        # A map that became what it was before has its old tag again: the latest is the shortest way.
        if tag is None:
            return None
        return next((seq for seq in range(self.end_seq, self.start_seq - 1, -1) if self._tags[seq] == tag), None)

    def _step(self, document: Document) -> UpdateItem | None:
        latest, whole = self._latest, UpdateItem(document.media_type, document.body)
        if document.media_type != latest.media_type or document.parts or not _is_json(whole.media_type):
            return None if whole == self._snapshots[self.end_seq] else whole
        found = self._differences.between(latest, document)
        if found is NOTHING:
            return None
        return whole if found is None else UpdateItem(found.media_type, found.text)

    def _compact(self, max_octets: int) -> None:
        thinned = self.end_seq - 2
        if thinned > self.start_seq and thinned % self._spacing:
            self._drop(self._snapshots, thinned)
        while self.end_seq - self.start_seq >= self._max_versions or self.octets > max_octets:
            # The window may begin only where there is a snapshot, and what was the latest yesterday is still asked for.
            start = min((seq for seq in self._snapshots if seq > self.start_seq), default=self.end_seq)
            if start >= self.end_seq:
                return
            for seq in range(self.start_seq, start):
                self._drop(self._snapshots, seq)
                self._drop(self._steps, seq)
                del self._tags[seq]
            self.start_seq = start

    def _drop(self, items: dict[int, UpdateItem], seq: int) -> None:
        item = items.pop(seq, None)
        if item is not None:
            self.octets -= len(item.body)


def _is_json(media_type: str) -> bool:
    """Whether it can be patched; a multipart answer cannot."""
    kind = media.parse_media_type(media_type)
    return kind is not None and kind.type.endswith("json")


def _tag_of(document: Document) -> str:
    """The tag of a version: that of its own version tag, so that a client knows it, else one made of its content.

    The version tag of an answer in parts may be that of one of them.
    """
    if document.vtag is not None and not document.parts:
        return document.vtag.tag
    return hashlib.sha256(document.body).hexdigest()[:40]
