"""How tests run the plans of a client: against functions, and against a server in memory."""

import attrs
import pytest
from decade_server import PEER, token, whole
from decade_tokens import SERVER

from decade.client_exchange import Credential, Exchange, FailedError, UnreachableError
from decade.http import Response
from decade.waiting import settle

HALF = bytes(128)


def mine(**claims):
    """A token for everything at the server."""
    return (Credential.of(token(**claims)),)


def run(plan, answer):
    """The result of a plan, and its steps. `answer` makes of an exchange a response, or an error to throw."""
    steps, reply = [], None
    while True:
        try:
            if isinstance(reply, Exception):
                steps.append(plan.throw(reply))
            else:
                steps.append(plan.send(reply))
        except StopIteration as stop:
            return stop.value, steps
        reply = delivered(steps[-1], answer(steps[-1])) if isinstance(steps[-1], Exchange) else None


def delivered(step, response, *, size=3):
    """What a driver makes of a response: its body goes to the receiver in small parts, until it wants no more."""
    if isinstance(response, Exception):
        return response
    body, headers = response.body, response.headers
    is_wanted = step.receiver.start(Response(response.status, headers))
    for at in range(0, len(body), size):
        is_wanted = is_wanted and step.receiver.feed(body[at : at + size])
    return Response(response.status, headers)


def cut_short(step, response, size):
    """As `delivered`, where the connection breaks behind so many octets."""
    step.receiver.start(Response(response.status, response.headers))
    step.receiver.feed(response.body[:size])
    return UnreachableError("cut short")


def asks(steps):
    """The requests among the steps."""
    return [step.request for step in steps if isinstance(step, Exchange)]


def served(made):
    """Answers of a server in memory."""

    def answer(step):
        request = step.request
        head = attrs.evolve(request, target=request.target.removeprefix(SERVER), body=b"")
        got = settle(made.server.handle(head, PEER, made.now), made.now)
        if not isinstance(got, Response):
            body = b"".join(step.source.parts()) if step.source is not None else request.body
            got = got.feed(body, made.now) or settle(got.finish(made.now), made.now)
        return whole(got, made.now)

    return answer


def failed(plan, answer):
    """The failures of a plan that fails."""
    with pytest.raises(FailedError) as error:
        run(plan, answer)
    return error.value.failures
