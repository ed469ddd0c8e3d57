"""Uvicorn's HTTP/1.1 for objects: a request that comes again, octet for octet, is answered before it is parsed.

What a parser makes of the same octets is the same as long as it begins with them, and they are one whole request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from interop._http_limits import MAX_HEAD, LimitedHttpProtocol
from interop.decade_server._heads import HEAD, Head

Fields: TypeAlias = list[tuple[bytes, bytes]]
_END = b"\r\n\r\n"


class ObjectHttpProtocol(LimitedHttpProtocol):
    """Uvicorn's HTTP/1.1 with limits, for `DecadeApp`."""

    recall: Callable[[Head, Fields], tuple[bytes, bytes] | None] | None = None
    """The head, with these fields besides, and the body of an answer to a request that was answered before, which
    counts as sent; None to have it parsed."""
    _is_between = True
    """Whether no request has begun that is not whole."""
    _begun = 0
    """Requests that began with the octets that came last."""

    def data_received(self, data: bytes) -> None:
        is_first = self._is_between and (
            self.cycle is None  # type: ignore[redundant-expr] # as uvicorn has it
            or self.cycle.response_complete
        )
        if is_first and self._answer_at_once(data):
            return
        self._begun = 0
        super().data_received(data)
        if is_first and self._begun == 1 and self._is_between and self._may_come_again(data):
            # The application has not begun yet.
            self.scope[HEAD] = data  # type: ignore[literal-required]

    def on_message_begin(self) -> None:
        self._is_between = False
        self._begun += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_between = True
        super().on_message_complete()

    def _answer_at_once(self, data: bytes) -> bool:
        # Who reads slowly waits where answers are awaited.
        if self.recall is None or self.flow.write_paused or self.transport.is_closing():
            return False
        client = self.client
        host = None if client is None else client[0]
        answer = self.recall((data, host, self.scheme), self.server_state.default_headers)
        if answer is None:
            return False
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        head, body = answer
        if body:
            # With uvloop in one call of the kernel.
            self.transport.writelines((head, body))
        else:
            self.transport.write(head)
        self.server_state.total_requests += 1
        self._await_head()
        return True

    def _may_come_again(self, data: bytes) -> bool:
        """Whether these octets are one request without a body, after which the connection stays."""
        is_whole = len(data) <= MAX_HEAD and data.find(_END) == len(data) - len(_END)
        return is_whole and self.cycle.keep_alive and not self.parser.should_upgrade()
