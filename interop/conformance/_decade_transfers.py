"""Our DECADE server's transfers as an implementation that answers conformance requests (PROFILE.md section 11)."""

import base64
import itertools
from typing import Any, TypeVar

from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, Status, TransferStatus, decode_message, encode_message
from decade.names import name_of
from decade.problem import decode_problem
from decade.transfer import Exchange
from decade.transfer_states import Trouble
from decade.waiting import settle
from interop.conformance._decade_server import make_server
from interop.conformance._decade_values import message_from_json

_Json = dict[str, Any]
_M = TypeVar("_M", Status, TransferStatus)
_PATH = "/decade/v1/transfers"


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Order transfers at a server that has what `params` describes, and be its remote servers."""
    transfers = _Transfers(params)
    return [transfers.step(step) for step in steps]


class _Transfers:
    def __init__(self, params: _Json) -> None:
        self._params = params
        numbers = itertools.count()
        self._server = make_server(params, lambda size: (next(numbers) % 256**size).to_bytes(size))
        self._exchange: Exchange | None = None
        self._last = Response(0)
        self._location = ""
        self._is_same = False
        for octets in params.get("stored", ()):
            self._ask("PUT", name_of(bytes.fromhex(octets)).path, bytes.fromhex(octets), 0.0)

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        now = step["at"] / 1e6
        match verb:
            case "order":
                message = encode_message(message_from_json({"message": "transfer-request", **args}))
                before, self._last = self._location, self._ask("POST", _PATH, message, now)
                self._location = self._last.header("Location") or before
                self._is_same = before == self._location
            case "cancel":
                self._last = self._ask("DELETE", self._location, None, now)
            case "answer":
                self._answer(args, now)
            case "cut" | "unreachable" | "forbidden":
                if self._exchange is not None:
                    self._exchange.fail(Trouble(verb), now)
            case "wait":
                self._server.transfers.handle_timer(now)
            case _:
                raise LookupError(f"a transfer has no verb {verb!r}")
        self._look(now)
        found = self._observe(now)
        return {name: found[name] for name in step["observe"]}

    def _answer(self, args: _Json, now: float) -> None:
        """A remote server answers, and may say less than it has announced."""
        exchange = self._exchange
        if exchange is None:
            raise LookupError("nothing was asked")
        while exchange.length and exchange.read(65536, now):
            pass
        headers = tuple((name, value) for name, value in args.get("headers", ()))
        following = settle(exchange.receive_head(Response(args["status"], headers), now), now)
        if following is None or not exchange.is_open:
            self._exchange = following
            return
        following.receive_data(bytes.fromhex(args.get("body", "")), now)
        if args.get("ends", True):
            settle(following.receive_end(now), now)

    def _look(self, now: float) -> None:
        """What is asked next, if nothing is."""
        if self._exchange is None or not self._exchange.is_open:
            self._exchange = settle(self._server.transfers.next_request(now), now)

    def _ask(self, method: str, target: str, body: bytes | None, now: float) -> Response:
        token = base64.urlsafe_b64encode(bytes.fromhex(self._params["token"])).rstrip(b"=").decode()
        headers = [("Authorization", f"Bearer {token}")]
        if body is not None:
            kind = MEDIA_TYPE if method == "POST" else "application/octet-stream"
            headers += [("Content-Length", str(len(body))), ("Content-Type", kind)]
        answer: Any = settle(self._server.handle(Request(method, target, tuple(headers)), ("192.0.2.1", 1), now), now)
        if not isinstance(answer, Response):
            answer = answer.feed(body or b"", now) or settle(answer.finish(now), now)
        found: Response = answer
        return found

    def _observe(self, now: float) -> _Json:
        exchange, last = self._exchange, self._last
        problem = decode_problem(last.body) if isinstance(last.body, bytes) and last.body else None
        status = self._message(self._location, TransferStatus, now) if self._location else None
        usage = self._message("/decade/v1/status", Status, now).usage
        return {
            "status": last.status,
            "code": None if problem is None else int(problem.code),
            "is_same": self._is_same,
            "state": None if status is None else int(status.state),
            "items": []
            if status is None
            else [[int(i.state), i.octets, i.error and int(i.error)] for i in status.items],
            "done": None if status is None else status.done,
            "total": None if status is None else status.total,
            "reserved": usage.reserved,
            "stored": usage.stored,
            "request": None if exchange is None or not exchange.is_open else _shown(exchange),
        }

    def _message(self, target: str, kind: type[_M], now: float) -> _M:
        answer = self._ask("GET", target, None, now)
        message = decode_message(answer.body) if isinstance(answer.body, bytes) else None
        if not isinstance(message, kind):
            raise LookupError(f"GET {target}: {answer.status}")
        return message


def _shown(exchange: Exchange) -> _Json:
    request = exchange.request
    fields = {"range": "Range", "if_match": "If-Match", "content_type": "Content-Type", "attrs": "Decade-Attrs"}
    shown = {name: value for name, field in fields.items() if (value := request.header(field)) is not None}
    is_authorized = request.header("Authorization") is not None
    return {"method": request.method, "uri": request.target, "is_authorized": is_authorized, **shown}
