"""Attaches within a node: the steps of the machines become requests, answers and events (RFC 6940 section 6.5.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from reload.attach import Attaches
from reload.attach_steps import Ask, AttachEnded, Established, Step, Tell, Withdraw
from reload.context import Context
from reload.destinations import Destination
from reload.errors import EncodeError
from reload.events import Candidates, Event
from reload.exchange import Outcome, Reply, Request
from reload.ports import Identity
from reload.requesting import Requester
from reload.responding import Responder
from reload.sending import Tasks


class Attaching:
    """The Attaches of a node. `on_ended` is told what became of those that it has begun."""

    def __init__(
        self,
        context: Context,
        requester: Requester,
        responder: Responder,
        tasks: Tasks,
        *,
        applications: Iterable[int],
        emit: Callable[[Event], None],
        on_ended: Callable[[AttachEnded, float], None],
    ) -> None:
        self._context = context
        self._requester = requester
        self._responder = responder
        self._tasks = tasks
        self._emit = emit
        self._on_ended = on_ended
        self._last_wanted = 0
        self._attaches = Attaches(context.node_id, context.configuration, context.numbers, applications=applications)

    def configuration_changed(self) -> None:
        """Other links may be permitted."""
        self._attaches.configuration = self._context.configuration

    def begin(
        self,
        destination_list: Sequence[Destination],
        now: float,
        *,
        send_update: bool = False,
        application: int | None = None,
    ) -> int:
        """Attach to whom the list leads to. Raises StateError."""
        number = self._attaches.begin(destination_list, now, send_update=send_update, application=application)
        self._tasks.append(self._take_steps)
        return number

    def on_request(self, request: Request, now: float) -> Reply | None:
        """An Attach or AppAttach of another node."""
        reply = self._attaches.on_request(request, now)
        self._tasks.append(self._take_steps)
        return reply

    def provide_candidates(self, attach: int, local: Candidates, now: float) -> None:
        """Candidates that were wanted; in vain, if they are no longer. Raises StateError."""
        if self._is_late(attach):
            return
        self._attaches.provide_candidates(attach, local, now)
        self._tasks.append(self._take_steps)

    def established(self, attach: int, identity: Identity, now: float) -> Established:
        """A connection that was wanted. Raises StateError and SecurityError."""
        try:
            return self._attaches.established(attach, identity, now)
        finally:
            self._tasks.append(self._take_steps)

    def failed(self, attach: int, now: float) -> None:
        """No candidates, or no connection, if it still matters. Raises StateError."""
        if self._is_late(attach):
            return
        self._attaches.failed(attach, now)
        self._tasks.append(self._take_steps)

    def abandon_all(self, now: float) -> None:
        """The node leaves."""
        self._attaches.abandon_all(now)
        self._tasks.append(self._take_steps)

    def get_timer(self) -> float | None:
        """When one of them has taken too long."""
        return self._attaches.get_timer()

    def handle_timer(self, now: float) -> None:
        """End those that have taken too long."""
        self._attaches.handle_timer(now)
        self._tasks.append(self._take_steps)

    def _is_late(self, attach: int) -> bool:
        """Whether `ConnectionAbandoned` was told for it, which the driver may not have read yet."""
        return attach <= self._last_wanted and self._attaches.is_abandoned(attach)

    def _take_steps(self, now: float) -> None:
        """Do what the machines want done."""
        while (step := self._attaches.next_step()) is not None:
            self._take(step, now)

    def _take(self, step: Step, now: float) -> None:
        match step:
            case Ask():
                try:
                    transaction = self._requester.send(
                        step.destination_list, step.message_code, step.body, now, self._on_outcome
                    )
                except EncodeError:
                    self._attaches.failed(step.attach, now)
                else:
                    self._attaches.asked(step.attach, transaction)
            case Tell():
                self._responder.answer(step.request, step.reply, now)
            case Withdraw():
                self._requester.cancel(step.transaction)
            case AttachEnded():
                self._on_ended(step, now)
            case _:
                self._last_wanted = max(self._last_wanted, step.attach)
                self._emit(step)

    def _on_outcome(self, outcome: Outcome, now: float) -> None:
        self._attaches.on_outcome(outcome, now)
        self._take_steps(now)
