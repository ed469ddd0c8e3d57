"""Endpoints of uTP, and connections of them to a peer made by hand."""

import random
from typing import Any

from hand_utp import Hand

from ledbat.utp import UtpEndpoint


def endpoint(seed: int = 1, **options: Any) -> UtpEndpoint:
    options.setdefault("random_bytes", random.Random(seed).randbytes)
    return UtpEndpoint(**options)


def connected(seed: int = 1, **options: Any) -> Hand:
    """A peer whose connection, opened by the endpoint, stands; nothing waits."""
    peer = Hand(endpoint(seed, **options))
    peer.answer_connect()
    peer.hear()
    peer.events()
    return peer


def drain(one: UtpEndpoint, now: float) -> list[tuple[bytes, Any]]:
    sent = []
    while batch := one.datagrams_to_send(now):
        sent += [(d if isinstance(d, bytes) else b"".join(d), address) for d, address in batch]
    return sent
