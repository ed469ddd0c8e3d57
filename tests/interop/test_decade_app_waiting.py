"""A server whose store takes its time, and one in a thread of its own: others go on, and nothing is left behind."""

import asyncio
import threading

import pytest
from decade_server import HELLO, OCTETS, Bench, bearer, token

from decade.names import name_of
from decade.store import MemoryStore
from interop.decade_server import DecadeApp
from interop.decade_server.threaded import ThreadedApp


class SlowStore(MemoryStore):
    """Commits and opens when `gate` is open."""

    waits = True

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def commit(self, sink, row):
        self._pass()
        return super().commit(sink, row)

    def open(self, row):
        self._pass()
        return super().open(row)

    def opens_at_once(self, row):
        return False

    def at_hand(self, account, name):
        return None

    def _pass(self):
        self.entered.set()
        assert self.gate.wait(60)


class Client:
    """The client of one request. A silent one sends nothing of its body."""

    def __init__(self, method, name, *parts, silent=False):
        headers = [(key.lower().encode(), value.encode()) for key, value in bearer(token())]
        if parts:
            headers.append((b"content-length", b"%d" % sum(map(len, parts))))
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": name.path,
            "raw_path": name.path.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("192.0.2.1", 4711),
        }
        self._parts = [] if silent else list(parts)
        self.sent = []

    async def receive(self):
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message):
        self.sent.append(message)

    def start(self, app):
        return asyncio.ensure_future(app(self.scope, self.receive, self.send))

    @property
    def status(self):
        return self.sent[0]["status"] if self.sent else None

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
def bench():
    return Bench(store=SlowStore())


def app_of(bench):
    return DecadeApp(bench.server, clock=lambda: bench.now)


async def stop(app):
    """As the HTTP server does it."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return messages.pop(0)

    async def send(message):
        pass

    await app({"type": "lifespan"}, receive, send)


async def entered(bench):
    await asyncio.to_thread(bench.store.entered.wait, 60)
    bench.store.entered.clear()


def test_others_are_served_while_one_waits_for_the_disk(bench):
    async def run():
        app = app_of(bench)
        putting = Client("PUT", HELLO, OCTETS)
        task = putting.start(app)
        await entered(bench)
        other = Client("GET", name_of(b"another"))
        await other.start(app)
        assert (other.status, putting.status) == (404, None)
        bench.store.gate.set()
        await task
        assert putting.status == 201
        getting = Client("GET", HELLO)
        await getting.start(app)
        assert getting.body == OCTETS
        await stop(app)

    asyncio.run(run())
    assert bench.server.requests == 0


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_has_begun_ends_when_the_http_server_gives_up_on_it(bench, method):
    async def run():
        app = app_of(bench)
        if method == "GET":
            bench.store.gate.set()
            await Client("PUT", HELLO, OCTETS).start(app)
            await entered(bench)
            bench.store.gate.clear()
        task = Client(method, HELLO, *([OCTETS] if method == "PUT" else [])).start(app)
        await entered(bench)
        assert bench.server.requests == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.server.requests == 1
        bench.store.gate.set()
        await stop(app)

    asyncio.run(run())
    # An object that was to be stored is; one that was to be read is closed.
    assert bench.store.find("alice", HELLO) is not None
    assert bench.server.requests == 0
    assert all(payload.holders == 1 for payload in bench.store._payloads.values())


def test_an_application_in_a_thread_of_its_own_answers_and_its_http_server_goes_on():
    bench = Bench()
    inner = app_of(bench)
    app = ThreadedApp(inner)
    gate, is_in = threading.Event(), threading.Event()
    handle, threads = bench.server.handle, set()

    def blocking(*arguments):
        threads.add(threading.current_thread())
        is_in.set()
        assert gate.wait(60)
        return handle(*arguments)

    bench.server.handle = blocking

    async def run():
        putting = Client("PUT", HELLO, OCTETS[:5], OCTETS[5:])
        task = putting.start(app)
        # The loop goes on while the server waits.
        await asyncio.to_thread(is_in.wait, 60)
        gate.set()
        await task
        getting = Client("GET", HELLO)
        await getting.start(app)
        assert (putting.status, getting.body) == (201, OCTETS)
        assert await app.call(threading.current_thread) in threads
        task = Client("PUT", name_of(b"?"), b"?", silent=True).start(app)
        while bench.server.requests != 1:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while bench.server.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await stop(app)

    asyncio.run(run())
    app.close()
    assert len(threads) == 1
    assert threading.main_thread() not in threads
