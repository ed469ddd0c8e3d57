"""The transcripts of decade/vectors/http.json through the ASGI application: HTTP in and out, on a clock of the test."""

import asyncio
import base64
import copy
from pathlib import Path
from typing import Any

import httpx
import pytest

from decade.http import Response
from decade.names import name_of
from interop.conformance._compare import difference
from interop.conformance._decade_server import Answer, make_server, observe
from interop.conformance._files import Case, load
from interop.decade_server import DecadeApp

CASES = list(load(Path(__file__).parents[2] / "decade" / "vectors" / "http.json").cases)
WHOLE = [case for case in CASES if all("hold" not in str(step["do"]) for step in case.body["steps"])]
"""Those that hold no request and no answer in the middle."""


class Client:
    """A client of the application, whose address is 192.0.2.1."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.now = 0.0
        self._params = params
        self.server = make_server(params)
        app = DecadeApp(self.server, clock=lambda: self.now)
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=("192.0.2.1", 4711)))

    async def ask(self, asked: dict[str, Any]) -> Answer:
        body = bytes.fromhex(asked.get("body", ""))
        headers = [(name, value) for name, value in asked.get("headers", ())]
        if "body" in asked and not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        if "token" in asked:
            token = base64.urlsafe_b64encode(bytes.fromhex(self._params["tokens"][asked["token"]]))
            headers.append(("Authorization", f"Bearer {token.rstrip(b'=').decode()}"))
        url = httpx.URL(self._params["server"], raw_path=asked["target"].encode())
        # A stream, so that nothing is added to the fields that frame it.
        answer = await self._http.send(httpx.Request(asked["method"], url, headers=headers, stream=_Body(body)))
        response = Response(answer.status_code, tuple(answer.headers.multi_items()), answer.content)
        return Answer(response, answer.content, is_whole=True)


class _Body(httpx.AsyncByteStream):
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    async def __aiter__(self):
        yield self._octets


async def faults(case: Case) -> list[str]:
    client = Client(case.params)
    for stored in case.params.get("stored", ()):
        target = name_of(bytes.fromhex(stored["body"])).path
        await client.ask({"method": "PUT", "target": target, **stored})
    found, before = [], None
    for step in case.body["steps"]:
        client.now = step["at"] / 1e6
        asked = step["do"].get("request")
        if asked is None:
            client.server.handle_timer(client.now)
            continue
        for _ in range(asked.get("times", 1)):
            answer = await client.ask(asked)
        seen = observe(answer, before)
        expected = step.get("expect", {})
        found += [fault for name in expected if (fault := difference(expected[name], seen[name], name, ranges=True))]
        before = answer
    return found


@pytest.mark.parametrize("case", WHOLE, ids=[case.id for case in WHOLE])
def test_a_transcript_holds_over_asgi(case):
    found = asyncio.run(faults(case))
    assert found == []


def test_a_transcript_with_another_answer_is_at_fault():
    case = next(case for case in WHOLE if case.id == "http-get")
    other = copy.deepcopy(case)
    other.body["steps"][0]["expect"]["status"] = 404
    found = asyncio.run(faults(other))
    assert found == ["status: 200 instead of 404"]
