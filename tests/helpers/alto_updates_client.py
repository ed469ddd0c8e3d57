"""An update stream client that is fed by hand, and what it is fed."""

import json
from typing import Any

from alto import media
from alto.http import Response
from alto.sse import encode_event
from alto.updates_client import Event, StreamBroken, Subscription, UpdateStreamClient

URI = "https://alto.example.com/updates/costs"
CONTROL = media.UPDATE_STREAM_CONTROL
HEAD = Response(200, (("Content-Type", "text/event-stream"),))


def doc(tag: str, data: Any = 1, *, name: str = "net", on: dict[str, str] | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"vtag": {"resource-id": name, "tag": tag}}
    if on is not None:
        meta["dependent-vtags"] = [{"resource-id": key, "tag": value} for key, value in on.items()]
    return {"meta": meta, "data": data}


def event(name: str, value: Any) -> bytes:
    return encode_event(name, value if isinstance(value, bytes) else json.dumps(value).encode())


OPENING = event(CONTROL, {"control-uri": "streams/1"})


class Client(UpdateStreamClient):
    """A client whose stream is open, with `net` and `cost` unless told otherwise."""

    def __init__(self, add: dict[str, Subscription] | None = None, *, opening: bytes = OPENING, **options: Any) -> None:
        if add is None:
            add = {"n": Subscription("net"), "c": Subscription("cost", uses=("net",))}
        super().__init__(URI, add, **options)
        self.receive_response(HEAD, 0.0)
        self.opened = self.take(opening)

    def take(self, *pieces: bytes, now: float = 0.0) -> list[Event]:
        for piece in pieces:
            self.receive_data(piece, now)
        return self.events()

    def events(self) -> list[Event]:
        found: list[Event] = []
        while (happened := self.next_event()) is not None:
            found.append(happened)
        return found

    def noted(self) -> list[str]:
        return [finding.section for finding in self.findings.items]


def names(events: list[Event]) -> list[str]:
    return [f"{type(each).__name__}:{getattr(each, 'substream_id', '')}" for each in events]


def broken(events: list[Event]) -> str:
    assert isinstance(events[-1], StreamBroken)
    return events[-1].reason


MULTIPART = b"--b\nContent-Type: a/b+json\nContent-ID: <ecs@x>\n\n%b\n--b\nContent-ID: <prop@x>\n\n%b\n--b--\n"


def multipart(first: Any, second: Any) -> bytes:
    body = MULTIPART % (json.dumps(first).encode(), json.dumps(second).encode())
    return event('multipart/related;boundary="b";type="a,b",s', body)
