"""Plans of the ALTO client, carried by a function or a table of answers."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from alto.client.fetch import Plan
from alto.http import Request, Response

_T = TypeVar("_T")

Answerer = Callable[[Request], Response]


class Carrier:
    """Runs plans and remembers what they asked for."""

    def __init__(self, answer: Answerer | Mapping[str, Response]) -> None:
        self.requests: list[Request] = []
        self._answer: Answerer = answer if callable(answer) else lambda request: answer.get(request.target, NOT_FOUND)

    def run(self, plan: Plan[_T]) -> _T:
        """The value of the plan. What the answerer raises is thrown into it."""
        try:
            request = next(plan)
            while True:
                self.requests.append(request)
                try:
                    response = self._answer(request)
                except Exception as error:  # noqa: BLE001
                    request = plan.throw(error)
                else:
                    request = plan.send(response)
        except StopIteration as stop:
            value: _T = stop.value
            return value


NOT_FOUND = Response(404)


def answer(tree: Any, media_type: str, *headers: tuple[str, str], status: int = 200) -> Response:
    """A response with a JSON body."""
    return Response(status, (("Content-Type", media_type), *headers), json.dumps(tree).encode())
