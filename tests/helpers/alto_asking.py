"""Ask a server of small resources."""

import json
from typing import Any

from alto_resources import PARAMS, Data, Echo

from alto.auth import Authenticated, Challenge, Verdict
from alto.directory import Directory
from alto.http import Request, Response
from alto.server import AltoServer

PEER = ("192.0.2.7", 4711)
JSON = (("Content-Type", PARAMS),)


def directory(*more: Any, **arguments: Any) -> Directory:
    return Directory([Data("map", {"a": 1}), Echo(), *more], default_network_map="map", **arguments)


def server_of(*more: Any, services: Any = (), **arguments: Any) -> AltoServer:
    arguments = {"epoch": 1e9, "base_uri": "https://alto.example.com/alto", **arguments}
    return AltoServer(directory(*more, services=services), **arguments)


def ask(server: AltoServer, method: str, target: str, *headers: tuple[str, str], body: bytes = b"", **more: Any) -> Any:
    return server.handle(Request(method, target, headers, body), more.pop("peer", PEER), more.pop("now", 1.0), **more)


def error_of(response: Response) -> Any:
    assert response.header("Content-Type") == "application/alto-error+json"
    assert response.header("Cache-Control") == "no-store"
    return json.loads(response.body)["meta"]


class Names:
    """Lets in whoever says a name, and tells them so."""

    def authenticate(self, request: Request, now: float) -> Verdict:
        name = request.header("Authorization")
        if name is None:
            return Challenge((("WWW-Authenticate", "Name"),))
        return Authenticated(name, (("Authentication-Info", "ok"),))
