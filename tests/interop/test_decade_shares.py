"""What a server with a rate of its own gives to whom, over real sockets: by octets, not by time."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from decade_served import fields, serving, until
from decade_server import BOB, Bench, bearer, token
from decade_tokens import MAC

from decade.cose import HmacKey
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.tokens import RegisteredKey
from decade.values import BitRate

CAROL = HmacKey(bytes(range(32, 64)), b"carol")
BODY = bytes(range(256)) * 8 * 1024
NAME = name_of(BODY)
START = time.monotonic()


def clock() -> float:
    """That of the test server, going on."""
    return 1.0 + time.monotonic() - START


def prepare(bench: Bench, weights: dict[str, int]) -> None:
    bench.keys[CAROL.kid] = RegisteredKey(CAROL, "carol")
    for account, weight in weights.items():
        bench.tree.put((account,), ResourcePolicy(weight=weight))
    for key in (MAC, BOB, CAROL):
        assert bench.put(BODY, token(key)).status in (201, 204)


def test_accounts_share_the_line_by_their_weights():
    with serving(egress_bps=64_000_000, app={"clock": clock}) as served:
        prepare(served.bench, {"alice": 4, "bob": 2, "carol": 1})
        sent = {}
        gate = threading.Barrier(3)

        def fetch(key: HmacKey) -> None:
            with httpx.Client() as client, contextlib.ExitStack() as open_answers:
                gate.wait()
                url, headers = served.url + NAME.path, dict(bearer(token(key)))
                answer = open_answers.enter_context(client.stream("GET", url, headers=headers))
                assert b"".join(answer.iter_raw()) == BODY
                if key is MAC:
                    # The first to end: what the others have got by then.
                    for body in list(served.app._line._flows):
                        sent[body.terms.path] = body.sent

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(fetch, (MAC, BOB, CAROL)))
    assert 0.4 < sent[("bob",)] / len(BODY) < 0.6
    assert 0.2 < sent[("carol",)] / len(BODY) < 0.3


def test_a_token_with_a_rate_is_sent_no_faster():
    with serving(app={"clock": clock}) as served:
        prepare(served.bench, {"carol": 1})
        start = time.monotonic()
        slow = dict(bearer(token(bandwidth=BitRate(32_000_000))))
        assert httpx.get(served.url + NAME.path, headers=slow).content == BODY
        # 2 MiB take half a second at least, less what may go at once.
        assert time.monotonic() - start > 0.4


def test_uploads_wait_for_the_ceiling_of_their_account():
    with serving(app={"clock": clock}) as served:
        served.bench.tree.put(("alice",), ResourcePolicy(weight=1, ceiling_upload=32_000_000))
        start = time.monotonic()
        assert httpx.put(served.url + NAME.path, content=BODY, headers=fields()).status_code == 201
        assert time.monotonic() - start > 0.4
    assert served.bench.server.requests == 0


@pytest.mark.parametrize("is_upload", [False, True])
def test_who_leaves_while_it_waits_for_the_line_gives_its_slot_back(is_upload):
    with serving(app={"clock": clock}) as served:
        served.bench.put(BODY)
        served.bench.tree.put(("alice",), ResourcePolicy(weight=1, ceiling_upload=8, ceiling_download=8))
        other = BODY[1:]
        method, path, size = ("PUT", name_of(other).path, len(other)) if is_upload else ("GET", NAME.path, 0)
        ((name, value),) = bearer(token())
        head = f"{method} {path} HTTP/1.1\r\nHost: sb\r\n{name}: {value}\r\nContent-Length: {size}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(head.encode() + other[: min(size, 100_000)])
            until(lambda: bool(served.app._line._flows))
        until(lambda: served.bench.server.requests == 0)
        assert not served.app._line._flows
