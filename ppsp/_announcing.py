"""What a peer is still to be told by HAVE messages (RFC 7574 sections 3.2 and 4.3.1)."""

from itertools import islice
from typing import TYPE_CHECKING

from ppsp import _limits
from ppsp._ranges import RangeSet
from ppsp.messages import Have, Message

if TYPE_CHECKING:
    from ppsp._content import Content
    from ppsp._live_content import LiveContent

# A HAVE is acknowledged by nothing, so the last ones are said again while the peer lacks chunks: after a second of
# silence about them, then after two, four …, up to this. (While there is news, later HAVEs cover what was lost.)
_MAX_REMINDER_SECONDS = 32.0
_REMINDER_RANGES = 64


class Announcing:
    """The HAVEs due to one peer, which has `peer_have`. Times are float seconds."""

    __slots__ = ("_content", "_count", "_news", "_peer_have", "_remind_at", "_reminder_seconds", "_reminding", "_since")

    def __init__(self, content: "Content | LiveContent", peer_have: RangeSet) -> None:
        self._content = content
        self._peer_have = peer_have
        self._news: list[tuple[int, int]] = []
        self._since = 0.0
        self._count = 0
        self._remind_at: float | None = None
        self._reminder_seconds = 1.0
        self._reminding = False

    def __bool__(self) -> bool:
        """Whether there is news."""
        return bool(self._news)

    def add(self, start: int, stop: int, now: float) -> None:
        """These chunks have become available here."""
        if not self._news:
            self._since = now
        self._news.append((start, stop))
        self._count += stop - start

    def add_everything(self, now: float) -> None:
        """The peer knows of nothing yet."""
        for start, stop in self._content.have:
            self.add(start, stop, now)

    def start_over(self, now: float) -> None:
        """The peer has forgotten everything."""
        self._news, self._count = [], 0
        self.add_everything(now)

    def due_at(self) -> float:
        """When the news is to be sent: at once when it is much, else after waiting a little for company."""
        return self._since if self._count >= _limits.HAVE_BATCH else self._since + _limits.HAVE_DELAY_SECONDS

    def deadline(self) -> float | None:
        """When `handle_timer` is due, or the news."""
        return self.due_at() if self._news else self._remind_at

    def take(self, now: float) -> list[Message]:
        """A HAVE for the biggest complete interval around each piece of news that the peer lacks (section 4.3.1)."""
        news, self._news, self._count = self._news, [], 0
        if not self._reminding:
            self._reminder_seconds = 1.0
        self._reminding = False
        self._remind_at = now + self._reminder_seconds
        have, peer_have = self._content.have, self._peer_have
        spans: dict[tuple[int, int], None] = {}
        start = stop = -1
        for first, end in news:
            if start <= first < stop or peer_have.covers(first, end):
                continue
            covering = have.covering(first)
            if covering is not None:
                start, stop = covering
                spans[covering] = None
        return [Have(first, last - 1) for first, last in spans]

    def handle_timer(self, now: float) -> None:
        """Say again what the peer lacks, if that is due: the HAVE may have been lost."""
        if self._remind_at is None or now < self._remind_at or self._news:
            return
        self._remind_at = None
        lacking = (span for span in self._content.have if not self._peer_have.covers(*span))
        for start, stop in islice(lacking, _REMINDER_RANGES):
            self.add(start, stop, now)
            self._reminding = True
        self._reminder_seconds = min(self._reminder_seconds * 2, _MAX_REMINDER_SECONDS)
