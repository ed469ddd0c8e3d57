"""How the gateways wait: for a result, or for the client to leave."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from interop._gateway_base import GoneError, unless


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**values: Any) -> None:
        asyncio.run(test(**values))

    return run


async def _after(event: asyncio.Event) -> str:
    await event.wait()
    return "there"


@in_a_loop
async def test_a_result_that_is_there_takes_no_turn_of_the_loop() -> None:
    """While a swarm comes in at full speed, others have their turns between."""
    gone = asyncio.get_running_loop().create_future()
    event = asyncio.Event()
    event.set()
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await unless(gone, _after(event)) == "there"
    assert turns == []


@in_a_loop
async def test_a_result_that_comes_later_is_told_in_the_next_turn() -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.call_soon(event.set)
    assert await unless(loop.create_future(), _after(event)) == "there"


@in_a_loop
async def test_who_leaves_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    loop.call_soon(gone.set_result, None)
    with pytest.raises(GoneError):
        await unless(gone, _after(asyncio.Event()))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


@in_a_loop
async def test_who_has_left_is_answered_nothing() -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.set_result(None)
    with pytest.raises(GoneError):
        await unless(gone, _after(asyncio.Event()))


@in_a_loop
async def test_who_leaves_when_the_result_is_there_stops_nothing_else() -> None:
    gone = asyncio.get_running_loop().create_future()

    async def work() -> str:
        gone.set_result(None)
        return "there"

    assert await unless(gone, work()) == "there"
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("leaves", [False, True])
@in_a_loop
async def test_a_request_that_is_cancelled_is_cancelled(leaves: bool) -> None:
    gone = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(unless(gone, _after(asyncio.Event())))
    await asyncio.sleep(0)
    task.cancel()
    if leaves:
        gone.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task


@in_a_loop
async def test_what_takes_too_long_is_a_timeout() -> None:
    gone = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await unless(gone, _after(asyncio.Event()))
