"""A tracker that works in a thread: the event loop goes on while it waits, and nobody waits for ever."""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

import interop._tracker_thread
from interop._tracker_thread import ThreadedTracker
from interop.asgi import Adapter, asgi
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    ErrorCode,
    PeerAddr,
    PeerMode,
    PeerNum,
    RegisteredPeer,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)


def joining(peer_id: str) -> bytes:
    action = SwarmAction("s", Action.JOIN, PeerMode.LEECH)
    return encode(ConnectRequest("1", peer_id, (action,), PeerNum(5), (PeerAddr("192.0.2.1", 80),)))


def threaded(server: TrackerServer) -> Adapter:
    tracker = ThreadedTracker(server)
    adapter = asgi(tracker)
    tracker.wake = adapter.wake
    return adapter


def client(adapter: Adapter) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=adapter, client=("198.51.100.7", 4000))
    return httpx.AsyncClient(transport=transport, base_url="http://t/", headers={"Content-Type": MEDIA_TYPE})


def code(response: httpx.Response) -> int:
    return int(parse_response(response.content).message.error_code)


class Gate:
    """A selector that waits, as for a store that hangs."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(
        self, members: Sequence[RegisteredPeer], requester: RegisteredPeer, peer_num: Any, count: int
    ) -> Iterable[RegisteredPeer]:
        self.entered.set()
        assert self.opened.wait(60)
        return members


def test_the_event_loop_goes_on_while_a_request_waits_and_the_others_wait_their_turn():
    gate = Gate()

    async def work() -> None:
        async with client(threaded(TrackerServer(select=gate))) as http:
            assert code(await http.post("/", content=joining("a"))) == 0
            slow = [asyncio.create_task(http.post("/", content=joining(name))) for name in "bc"]
            await asyncio.to_thread(gate.entered.wait, 60)
            await asyncio.sleep(0.02)
            assert not any(task.done() for task in slow)
            gate.opened.set()
            assert [code(response) for response in await asyncio.gather(*slow)] == [0, 0]

    asyncio.run(work())


def test_what_comes_while_the_thread_waits_is_carried_out_together(monkeypatch):
    monkeypatch.setattr(interop._tracker_thread, "MAX_BATCH", 3)
    gate, server = Gate(), TrackerServer()
    batches: list[int] = []
    handle_all = server.handle_all

    def noted(incoming: Any, now: float) -> Any:
        batches.append(len(incoming))
        gate.entered.set()
        assert gate.opened.wait(60)
        return handle_all(incoming, now)

    server.handle_all = noted

    async def work() -> None:
        async with client(threaded(server)) as http:
            first = asyncio.create_task(http.post("/", content=joining("a")))
            await asyncio.to_thread(gate.entered.wait, 60)
            others = [asyncio.create_task(http.post("/", content=joining(name))) for name in "bcdefgh"]
            tracker = http._transport.app._server
            while tracker._waiting < 8:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)
            gate.opened.set()
            assert [code(response) for response in await asyncio.gather(first, *others)] == [0] * 8

    asyncio.run(work())
    assert batches == [1, 3, 3, 1]


def test_a_failure_of_all_is_error_04_for_each(caplog):
    server = TrackerServer()

    def broken(incoming: Any, now: float) -> Any:
        raise LookupError("a bug")

    server.handle_all = broken

    async def work() -> None:
        async with client(threaded(server)) as http:
            answers = await asyncio.gather(*(http.post("/", content=joining(name)) for name in "ab"))
            assert [code(one) for one in answers] == [ErrorCode.INTERNAL_SERVER_ERROR] * 2

    asyncio.run(work())
    assert "a bug" in caplog.text


def test_who_comes_when_too_many_wait_is_told_so_at_once(monkeypatch):
    """RFC 7846 section 4.3: 05 (Service Unavailable)"""
    monkeypatch.setattr(interop._tracker_thread, "MAX_WAITING", 2)
    gate = Gate()

    async def work() -> None:
        async with client(threaded(TrackerServer(select=gate))) as http:
            assert code(await http.post("/", content=joining("a"))) == 0
            slow = [asyncio.create_task(http.post("/", content=joining(name))) for name in "bc"]
            await asyncio.to_thread(gate.entered.wait, 60)
            refused = await http.post("/", content=joining("d"))
            assert (refused.status_code, code(refused)) == (503, ErrorCode.SERVICE_UNAVAILABLE)
            gate.opened.set()
            assert [code(response) for response in await asyncio.gather(*slow)] == [0, 0]
            assert code(await http.post("/", content=joining("d"))) == 0

    asyncio.run(work())


def test_a_failure_in_the_thread_is_error_04(caplog):
    def select(*arguments: Any) -> Iterable[RegisteredPeer]:
        raise LookupError("a bug")

    async def work() -> None:
        async with client(threaded(TrackerServer(select=select))) as http:
            await http.post("/", content=joining("a"))
            failed = await http.post("/", content=joining("b"))
            assert (failed.status_code, code(failed)) == (500, ErrorCode.INTERNAL_SERVER_ERROR)
            assert b"bug" not in failed.content

    asyncio.run(work())
    assert "a bug" in caplog.text


def test_a_tracker_that_ends_does_not_leave_anybody_waiting():
    gate = Gate()

    async def work() -> None:
        adapter = threaded(TrackerServer(select=gate))
        async with client(adapter) as http:
            assert code(await http.post("/", content=joining("a"))) == 0
            waiting = asyncio.create_task(http.post("/", content=joining("b")))
            await asyncio.to_thread(gate.entered.wait, 60)
            adapter.close()
            assert code(await waiting) == ErrorCode.SERVICE_UNAVAILABLE
            gate.opened.set()

    asyncio.run(work())


def test_a_tracker_goes_on_in_another_event_loop_when_one_has_ended_in_the_middle_of_a_request():
    gate = Gate()
    server = TrackerServer(select=gate)
    adapter = threaded(server)

    async def first() -> None:
        async with client(adapter) as http:
            assert code(await http.post("/", content=joining("a"))) == 0
            waiting = asyncio.create_task(http.post("/", content=joining("b")))
            await asyncio.to_thread(gate.entered.wait, 60)
            waiting.cancel()

    async def second() -> None:
        async with client(adapter) as http:
            assert code(await http.post("/", content=joining("c"))) == 0

    asyncio.run(first())
    gate.opened.set()
    asyncio.run(second())
    assert server.peer_count == 3


def test_the_timer_is_handled_in_the_thread():
    server = TrackerServer(track_timer=0.05)
    seen: set[str] = set()
    handle_timer = server.handle_timer

    def noted(now: float) -> None:
        seen.add(threading.current_thread().name)
        handle_timer(now)

    server.handle_timer = noted

    async def work() -> None:
        async with client(threaded(server)) as http:
            assert code(await http.post("/", content=joining("a"))) == 0
            async with asyncio.timeout(60):
                while server.peer_count:  # noqa: ASYNC110 - what is waited for has no event
                    await asyncio.sleep(0.01)

    asyncio.run(work())
    assert {name.partition("_")[0] for name in seen} == {"tracker"}
