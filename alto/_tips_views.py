"""What a TIPS service holds: its views, and the requests that wait at them.

Clients that ask for the same resource with the same input share a view: its graph and its URI. A view whose answers
look at who asks is that client's alone, and so is one of a private resource.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field, frozen

from alto._questions import Question
from alto.directory import RequestContext
from alto.http import Response
from alto.tips_graph import MAX_GRAPH_OCTETS, MAX_VERSIONS, Edge, UpdatesGraph

Key: TypeAlias = tuple[str, bytes, object]
"""Resource ID, a digest of the input, and who the view is for: None for everybody."""


@frozen
class TipsLimits:
    """What a TIPS service holds for its clients at most; times in seconds."""

    views: int = 1000
    """Every other input makes another view, at a client's will."""
    octets: int = 256 * 2**20
    """Of update items in all views together: a thousand filtered maps of megabytes must not fill the memory."""
    versions: int = MAX_VERSIONS
    view_octets: int = MAX_GRAPH_OCTETS
    polls: int = 10_000
    """Requests held back: each takes a connection or a stream of one."""
    polls_per_client: int = 256
    """One address must not take all of them; behind one address may be many clients."""
    poll_window: int = 4
    """Versions beyond the last that may be waited for: enough to keep several requests under way."""
    poll_timeout: float = 50.0
    """Proxies commonly give up on a response after a minute."""
    view_idle: float = 600.0
    """A view that nobody asked for so long is closed."""
    view_grace: float = 60.0
    """A view that was used within this time is not closed to make room for another (section 4.1)."""


class Poll:
    """A request for an update item that is not there yet (section 7.2)."""

    __slots__ = ("_leave", "accept", "client", "deadline", "edge", "response", "view")

    def __init__(
        self, view: View, edge: Edge, accept: str | None, client: str | None, deadline: float, leave: Leave
    ) -> None:
        self.view = view
        self.edge = edge
        self.accept = accept
        self.client = client
        self.deadline = deadline
        self.response: Response | None = None
        self._leave = leave

    def disconnect(self, now: float) -> None:
        """The client is gone: its place is free."""
        self._leave(self)


Leave: TypeAlias = Callable[[Poll], None]


class Polls:
    """The requests that wait, and those that were answered and not yet sent."""

    def __init__(self, limits: TipsLimits) -> None:
        self._limits = limits
        self._waiting: dict[Poll, None] = {}  # in the order of their deadlines: all wait equally long
        self._answered: OrderedDict[Poll, None] = OrderedDict()
        self._by_client: dict[str | None, int] = {}

    def is_full_for(self, client: str | None) -> bool:
        """Whether nobody else, or not this client, may wait."""
        limits = self._limits
        return len(self._waiting) >= limits.polls or self._by_client.get(client, 0) >= limits.polls_per_client

    def add(self, view: View, edge: Edge, accept: str | None, client: str | None, now: float) -> Poll:
        """Hold a request back."""
        poll = Poll(view, edge, accept, client, now + self._limits.poll_timeout, self.leave)
        self._waiting[poll] = view.polls[poll] = None
        self._by_client[client] = self._by_client.get(client, 0) + 1
        return poll

    def answer(self, poll: Poll, response: Response) -> None:
        """Let a request go with its response."""
        self.leave(poll)
        poll.response = response
        self._answered[poll] = None

    def leave(self, poll: Poll) -> None:
        """Forget a request; harmless when repeated."""
        self._answered.pop(poll, None)
        if poll not in self._waiting:
            return
        del self._waiting[poll], poll.view.polls[poll]
        left = self._by_client[poll.client] - 1
        if left:
            self._by_client[poll.client] = left
        else:
            del self._by_client[poll.client]

    def next_answered(self) -> Poll | None:
        """One that was answered, each once."""
        return self._answered.popitem(last=False)[0] if self._answered else None

    def waiting(self) -> list[Poll]:
        """All that wait."""
        return list(self._waiting)

    def deadline(self) -> float | None:
        """When the first has waited long enough."""
        return next((poll.deadline for poll in self._waiting), None)

    def overdue(self, now: float) -> list[Poll]:
        """Those that have waited long enough."""
        return [poll for poll in self._waiting if poll.deadline <= now]


@define(eq=False)
class View:
    """A TIPS view: one resource asked one thing."""

    secret: str
    key: Key
    question: Question
    graph: UpdatesGraph
    depends: tuple[object, ...]
    generation: int
    """Of the directory that it shows."""
    last_used: float
    polls: dict[Poll, None] = field(factory=dict)

    @property
    def is_shared(self) -> bool:
        """Whether everybody may be shown it."""
        return self.key[2] is None

    def may_see(self, context: RequestContext) -> bool:
        """Whether a request comes from somebody whom the resource is for."""
        return not self.question.is_private or context.user == self.question.context.user
