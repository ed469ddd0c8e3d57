"""Operations and plans of users: each becomes requests, and their results what the user is told."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from reload.contents import MessageCode
from reload.context import Context
from reload.destinations import ResourceDestination
from reload.errors import EncodeError, StateError
from reload.exchange import Failure, Outcome, Response
from reload.operations import Failed, Fetch, Find, Operation, Plan, Result, Send, Stat, Store
from reload.reading import Reader, find_request, read_found
from reload.requesting import Requester
from reload.sending import Tasks
from reload.writing import Writer

OnResult: TypeAlias = Callable[[int, Any, float], None]
_Steps: TypeAlias = Generator[Operation, Result, Any]


class Running:
    """Drives operations and plans; `on_result` is told the number and what came of it."""

    def __init__(self, context: Context, requester: Requester, tasks: Tasks, on_result: OnResult) -> None:
        self._context = context
        self._requester = requester
        self._tasks = tasks
        self._on_result = on_result
        self._writer = Writer(context.signer, node_id_length=context.node_id_length)
        self.configuration_changed()

    def configuration_changed(self) -> None:
        """Other Kinds, signers or policies may be in force."""
        in_force, settings = self._context.in_force, self._context.storage_settings
        self.reader = Reader(
            in_force.kinds,
            in_force.verifier,
            settings.policies_with(in_force.configuration),
            settings.checks_with(in_force.configuration),
            node_id_length=self._context.node_id_length,
        )

    def perform(self, operation: Operation, now: float) -> int:
        """Begin an operation. Raises StateError and EncodeError for one that makes no sense."""
        number = next(self._context.numbers)
        self._begin(operation, now, lambda result, then: self._on_result(number, result, then))
        return number

    def run(self, plan: Plan[Any], now: float) -> int:
        """Drive a plan, whose first step is taken at once."""
        number = next(self._context.numbers)
        self._tasks.append(partial(self._resume, plan, None, partial(self._on_result, number)))
        return number

    def _resume(
        self, steps: _Steps, result: Result | Exception | None, on_end: Callable[[Any, float], None], now: float
    ) -> None:
        """Take the next step of a plan, which ends with what it returns. An error in it is the user's, and raised."""
        try:
            match result:
                case None:
                    operation = next(steps)
                case Exception():
                    operation = steps.throw(result)
                case _:
                    operation = steps.send(result)
        except StopIteration as stop:
            on_end(stop.value, now)
            return
        try:
            self._begin(operation, now, lambda outcome, then: self._resume(steps, outcome, on_end, then))
        except (StateError, EncodeError) as exc:
            # The plan has asked for what cannot be: it learns of it where it has asked.
            self._tasks.append(partial(self._resume, steps, exc, on_end))

    def _begin(self, operation: Operation, now: float, on_result: Callable[[Result, float], None]) -> None:
        """Begin an operation. Raises StateError and EncodeError."""
        context = self._context
        match operation:
            case Store():
                kinds = context.in_force.kinds
                largest = context.configuration.max_message_size
                steps = self._writer.storing(operation, kinds, context.wall(now), max_message_size=largest)
                self._tasks.append(partial(self._resume, steps, None, on_result))
            case Fetch():
                self._ask(operation, MessageCode.FETCH_REQ, self.reader.request(operation), now, on_result)
            case Stat():
                self._ask(operation, MessageCode.STAT_REQ, self.reader.request(operation), now, on_result)
            case Find():
                self._ask(operation, MessageCode.FIND_REQ, find_request(operation), now, on_result)
            case Send():
                self._requester.send(
                    operation.destination_list,
                    operation.message_code,
                    operation.body,
                    now,
                    lambda outcome, then: on_result(_sent(outcome), then),
                    extensions=operation.extensions,
                    first_hop=operation.first_hop,
                )

    def _ask(
        self,
        operation: Fetch | Stat | Find,
        code: MessageCode,
        body: Any,
        now: float,
        on_result: Callable[[Result, float], None],
    ) -> None:
        self._requester.send(
            (ResourceDestination(operation.resource_id),),
            code,
            body,
            now,
            lambda outcome, then: on_result(self._read(operation, outcome, then), then),
        )

    def _read(self, operation: Fetch | Stat | Find, outcome: Outcome, now: float) -> Result:
        response = _sent(outcome)
        if isinstance(response, Failed):
            return response
        match operation:
            case Fetch():
                return self.reader.fetched(operation, response, self._context.wall(now))
            case Stat():
                return self.reader.metadata(operation, response)
        return read_found(operation, response)


def _sent(outcome: Outcome) -> Response | Failed:
    """What came of a request, as an operation says it."""
    if isinstance(outcome, Failure):
        return Failed(outcome.error, outcome.reason, outcome.identity)
    return outcome
