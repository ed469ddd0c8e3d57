"""interop/alto_watch.py: a watch whose server refuses, falls silent, or sends what cannot be followed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import wraps
from typing import Any

import pytest
from alto_serving import running
from alto_updates_client import doc, event

from alto import media, updates_client
from alto.client import ServerError
from alto.errors import DecodeError
from alto.updates_client import ResourceInvalidated, ResourceUpdated
from interop import alto_watch
from interop.alto_client import AltoClient

CONTROL = event(media.UPDATE_STREAM_CONTROL, {"control-uri": None})
MAP = event(f"{media.NETWORK_MAP},map", doc("1", name="map"))
OTHER = event(f"{media.NETWORK_MAP},other", doc("1", name="other"))
STOPPED = event(media.UPDATE_STREAM_CONTROL, {"stopped": ["other"], "description": "gone"})
FIELD = "add/map/resource-id"
REFUSAL = json.dumps({"meta": {"code": "E_INVALID_FIELD_VALUE", "field": FIELD, "value": "map"}}).encode()


class Script:
    """A server whose update stream answers one request after the other as it is told; the last answer stays open."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def close(self) -> None:
        pass

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        if scope["path"] != "/updates":
            await self._send(send, 200, media.DIRECTORY, json.dumps(self._directory(scope)).encode(), more=False)
            return
        self.asked.append(sorted(json.loads(body)["add"]))
        status, octets = self.answers.pop(0)
        kind = media.EVENT_STREAM if status == 200 else media.ERROR
        await self._send(send, status, kind, octets, more=not self.answers)
        if not self.answers:
            while (await receive())["type"] != "http.disconnect":
                pass

    async def _send(self, send: Any, status: int, kind: str, octets: bytes, *, more: bool) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": octets, "more_body": more})

    def _directory(self, scope: Any) -> dict[str, Any]:
        base = f"http://127.0.0.1:{scope['server'][1]}"
        maps = {name: {"uri": f"{base}/{name}", "media-type": media.NETWORK_MAP} for name in ("map", "other")}
        stream = {
            "uri": f"{base}/updates",
            "media-type": media.EVENT_STREAM,
            "accepts": media.UPDATE_STREAM_PARAMS,
            "uses": ["map", "other"],
            "capabilities": {
                "incremental-change-media-types": {"map": media.MERGE_PATCH},
                "support-stream-control": False,
            },
        }
        return {"meta": {"default-alto-network-map": "map"}, "resources": {**maps, "updates": stream}}


def in_loop(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(work)
    def run(*args: Any, **kwargs: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(60):
                await work(*args, **kwargs)

        asyncio.run(limited())

    return run


@asynccontextmanager
async def watching(script: Script, *names: str, strict: bool = True) -> AsyncIterator[Any]:
    with running(script, closing=script) as url:
        async with AltoClient(f"{url}/", strict=strict) as alto, aclosing(alto.watch(*names)) as updates:
            yield updates


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alto_watch, "FIRST_WAIT", 0.01)


@in_loop
async def test_what_was_stopped_is_not_asked_for_again_as_long_as_there_is_more() -> None:
    script = Script((200, CONTROL + MAP + OTHER + STOPPED), (200, CONTROL + MAP))
    async with watching(script, "map", "other") as updates:
        found = [await anext(updates) for _ in range(4)]
    assert [getattr(each, "substream_id", "") for each in found] == ["map", "other", "other", "map"]
    assert found[2] == ResourceInvalidated("other")
    assert script.asked == [["map", "other"], ["map"]]


@in_loop
async def test_a_refusal_for_good_is_raised_and_another_is_tried_again() -> None:
    script = Script((503, b""), (429, b""), (400, REFUSAL), (200, b""))
    async with watching(script, "map") as updates:
        with pytest.raises(ServerError) as caught:
            await anext(updates)
    assert (caught.value.status, caught.value.field) == (400, FIELD)
    assert len(script.asked) == 3


@in_loop
async def test_what_cannot_be_followed_is_an_error_for_a_strict_client_and_a_lenient_one_begins_anew() -> None:
    patch = event(f"{media.MERGE_PATCH},map", {"data": 2})
    async with watching(Script((200, CONTROL + patch), (200, b"")), "map") as updates:
        with pytest.raises(DecodeError, match=r"6\.7\.1"):
            await anext(updates)
    script = Script((200, CONTROL + patch), (200, CONTROL + MAP))
    async with watching(script, "map", strict=False) as updates:
        assert isinstance(await anext(updates), ResourceUpdated)
    assert len(script.asked) == 2


@in_loop
async def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8895 section 6.8: without its comments nobody knows whether it is still there."""
    monkeypatch.setattr(updates_client, "MAX_SILENCE", 1.0)
    async with watching(Script((200, CONTROL + MAP)), "map") as updates:
        assert isinstance(await anext(updates), ResourceUpdated)
        with pytest.raises(DecodeError, match="nothing was heard"):
            await anext(updates)
