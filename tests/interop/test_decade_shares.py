"""What a server with a rate of its own gives to whom, over real sockets: by octets, not by time."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from decade_served import Served, fields, serving, until
from decade_server import BOB, Bench, bearer, token
from decade_tokens import MAC

from decade.cose import HmacKey
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.scheduler import BURST, QUANTUM
from decade.tokens import RegisteredKey
from decade.values import BitRate

CAROL = HmacKey(bytes(range(32, 64)), b"carol")
BODY = bytes(range(256)) * 8 * 1024
NAME = name_of(BODY)
RATE = 64_000_000
STEP = 0.001
"""Seconds."""


def clock():
    """That of the test server, going on from 1."""
    start = time.monotonic()
    return lambda: 1.0 + time.monotonic() - start


def prepare(bench: Bench) -> None:
    bench.keys[CAROL.kid] = RegisteredKey(CAROL, "carol")
    for account, weight in {"alice": 4, "bob": 2, "carol": 1}.items():
        bench.tree.put((account,), ResourcePolicy(weight=weight))
    for key in (MAC, BOB, CAROL):
        assert bench.put(BODY, token(key)).status == 201


class Patient:
    """A clock that stands still but while all that are to compete for the line wait for it, as if no machine were slow.

    `sent`: the octets of each account when one was about to have all.
    """

    def __init__(self, competing: int) -> None:
        self._competing = competing
        self._now = 1.0
        self._is_over = False
        self.sent: dict[str, int] = {}
        self.served: Served | None = None

    def __call__(self) -> float:
        flows = self.served.app._line._flows if self.served is not None else {}
        self._is_over = self._is_over or (bool(self.sent) and len(flows) < self._competing)
        if not self._is_over and len(flows) == self._competing:
            self.sent = {body.terms.path[0]: body.sent for body in flows}
        waiting = [flow for flow in flows.values() if flow._turn is not None and not flow._turn.done()]
        if self._is_over or len(waiting) == self._competing:
            self._now += STEP
        return self._now


def test_accounts_share_the_line_by_their_weights():
    patient = Patient(3)
    with serving(egress_bps=RATE, app={"clock": patient}, prepare=prepare) as served:
        patient.served = served

        def fetch(key: HmacKey) -> bytes:
            return httpx.get(served.url + NAME.path, headers=dict(bearer(token(key)))).content

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(fetch, (MAC, BOB, CAROL))) == [BODY] * 3
    # Whoever comes first has the burst of the line besides.
    more = int(BURST * RATE / 8) + 2 * QUANTUM
    assert patient.sent["alice"] > len(BODY) // 2
    assert patient.sent["bob"] == pytest.approx(patient.sent["alice"] / 2, abs=more)
    assert patient.sent["carol"] == pytest.approx(patient.sent["alice"] / 4, abs=more)


def test_a_token_with_a_rate_is_sent_no_faster():
    with serving(app={"clock": clock()}, prepare=prepare) as served:
        start = time.monotonic()
        slow = dict(bearer(token(bandwidth=BitRate(32_000_000))))
        assert httpx.get(served.url + NAME.path, headers=slow).content == BODY
        # 2 MiB take half a second at least, less what may go at once.
        assert time.monotonic() - start > 0.4


def test_uploads_wait_for_the_ceiling_of_their_account():
    with serving(app={"clock": clock()}, policy=ResourcePolicy(weight=1, ceiling_upload=32_000_000)) as served:
        start = time.monotonic()
        assert httpx.put(served.url + NAME.path, content=BODY, headers=fields()).status_code == 201
        assert time.monotonic() - start > 0.4
    assert served.bench.server.requests == 0


@pytest.mark.parametrize("is_upload", [False, True])
def test_who_leaves_while_it_waits_for_the_line_gives_its_slot_back(is_upload):
    def narrow(bench: Bench) -> None:
        bench.put(BODY)
        bench.tree.put(("alice",), ResourcePolicy(weight=1, ceiling_upload=8, ceiling_download=8))

    with serving(app={"clock": clock()}, prepare=narrow) as served:
        other = BODY[1:]
        method, path, size = ("PUT", name_of(other).path, len(other)) if is_upload else ("GET", NAME.path, 0)
        ((name, value),) = bearer(token())
        head = f"{method} {path} HTTP/1.1\r\nHost: sb\r\n{name}: {value}\r\nContent-Length: {size}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(head.encode() + other[: min(size, 100_000)])
            until(lambda: bool(served.app._line._flows))
        until(lambda: served.bench.server.requests == 0)
        assert not served.app._line._flows
