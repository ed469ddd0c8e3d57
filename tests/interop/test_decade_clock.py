"""The clock of a machine that sleeps, or is set: old tokens are not taken, and none comes back to life."""

import asyncio

import pytest
from decade_server import HELLO, OCTETS, Bench, bearer, token
from decade_tokens import NOW

from interop.decade_server import DecadeApp


class World:
    """A server, and clocks for it: `now`, which stands still while the machine sleeps, and the one on the wall."""

    def __init__(self):
        self.bench = Bench()
        self.bench.put()
        self.now, self.wall = 1.0, NOW + 1.0
        self.app = DecadeApp(self.bench.server, clock=lambda: self.now, wall=lambda: self.wall)

    def pass_by(self, seconds, *, awake=True):
        self.now += seconds if awake else 0.0
        self.wall += seconds

    def get(self, key):
        sent = []

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            sent.append(message)

        headers = [(name.lower().encode(), value.encode()) for name, value in bearer(key)]
        scope = {
            "type": "http",
            "method": "GET",
            "path": HELLO.path,
            "raw_path": HELLO.path.encode(),
            "query_string": b"",
            "headers": headers,
            "scheme": "https",
            "client": ("192.0.2.1", 4711),
        }
        asyncio.run(self.app(scope, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.fixture
def world():
    return World()


def test_a_machine_that_has_slept_takes_no_token_that_expired_meanwhile(world):
    key = token(exp=NOW + 600)
    for _ in range(3):
        assert world.get(key) == (200, OCTETS)
    world.pass_by(3600, awake=False)
    world.pass_by(1.5)
    assert world.get(key)[0] == 401
    assert world.get(token(iat=NOW + 3601, exp=NOW + 4000))[0] == 200


def test_a_clock_that_was_behind_at_the_start_is_followed(world):
    fresh = token(iat=NOW + 86400, exp=NOW + 87000)
    assert world.get(fresh)[0] == 401
    world.pass_by(86400, awake=False)
    world.pass_by(1.5)
    assert world.get(fresh) == (200, OCTETS)


def test_a_clock_that_is_set_back_revives_no_token(world):
    key = token(exp=NOW + 600)
    world.pass_by(700)
    assert world.get(key)[0] == 401
    world.wall -= 600
    world.pass_by(1.5)
    assert world.get(key)[0] == 401
