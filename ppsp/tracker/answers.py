"""Answers to repeated requests: "the tracker MUST be prepared to receive a request with a repeated transaction_id"."""

import hashlib
from collections import OrderedDict
from typing import TypeAlias

from attrs import frozen

ANSWER_LIFETIME = 60.0
"""Seconds. Longer than this package's client waits before a repetition (30 s); short, since a peer that uses one
transaction ID for everything, as the RFC's examples do, means each report as a new one."""
MAX_ANSWERS = 100_000
"""Bounds the cache when the answers are short: a sign of life a minute of 100,000 peers."""
MAX_ANSWER_OCTETS = 32 * 2**20
"""Bounds the cache when the answers are long. A peer that floods it pushes out the answers of others, whose repeated
requests are then carried out again: harmless, since joining or leaving twice changes nothing."""

Basis: TypeAlias = tuple[int, int]
"""What an answer rests on: the number of the peer's registration (0: none), and how often the peer's swarms have
changed since; for a list of peers, how often any peer's have."""


@frozen
class _Answer:
    stored_at: float
    basis: Basis
    body: bytes


class Answers:
    """The successful answers of the last minute by the content of the request (section 4.3).

    The content holds the peer ID and the transaction ID: one transaction ID for different requests makes them new ones.
    An answer stands for as long as its basis does: a peer that leaves a swarm and comes back with the same words joins
    it again, and is not told that it did once; a FIND finds who has come since.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._octets = 0

    @staticmethod
    def key(body: bytes) -> bytes:
        """What two requests share when every octet of theirs is the same; short, whatever the request."""
        return hashlib.sha256(body).digest()

    def find(self, key: bytes, basis: Basis, now: float) -> bytes | None:
        """The body that answered this request before."""
        answer = self._answers.get(key)
        if answer is None or answer.basis != basis or now - answer.stored_at >= ANSWER_LIFETIME:
            return None
        return answer.body

    def store(self, key: bytes, basis: Basis, body: bytes, now: float) -> None:
        """Keep the body for repetitions of this request."""
        self._forget(key)
        self._answers[key] = _Answer(now, basis, body)
        self._octets += len(body)
        while self._answers and self._is_over(next(iter(self._answers.values())), now):
            self._forget(next(iter(self._answers)))

    def _is_over(self, oldest: _Answer, now: float) -> bool:
        return (
            now - oldest.stored_at >= ANSWER_LIFETIME
            or len(self._answers) > MAX_ANSWERS
            or self._octets > MAX_ANSWER_OCTETS
        )

    def _forget(self, key: bytes) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._octets -= len(answer.body)
