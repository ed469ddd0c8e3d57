"""Our ALTO server as an implementation that answers conformance requests (RFC 7285 sections 8 and 9)."""

import gzip
import json
from typing import Any
from urllib.parse import urljoin

from alto import media
from alto.auth import DigestAuthenticator, DigestClient
from alto.directory import Directory
from alto.http import Request, Response
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.server import AltoServer

_Json = dict[str, Any]
_BASE = "https://alto.example.com/"
_PEER = ("192.0.2.1", 1024)


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Send the requests of a trace to a server of the directory that `params` describes."""
    directory = Directory(
        [
            *(NetworkMapResource(name, NetworkMap(pids)) for name, pids in params["network_maps"].items()),
            *(FilteredNetworkMapResource(name, used) for name, used in params.get("filtered", {}).items()),
            *(
                NetworkMapResource(name, NetworkMap(pids), is_private=True)
                for name, pids in params.get("private", {}).items()
            ),
        ],
        default_network_map=next(iter(params["network_maps"])),
    )
    users = DigestAuthenticator("alto.example.com", params.get("users", {}), random_bytes=bytes)
    exchanges = _Exchanges(AltoServer(directory, epoch=1_700_000_000, base_uri=_BASE, authenticator=users))
    return [exchanges.step(step) for step in steps]


class _Exchanges:
    def __init__(self, server: AltoServer) -> None:
        self._server = server
        self._etag: str | None = None
        listed = json.loads(self._send(Request("GET", _BASE), 0.0).body)["resources"]
        self._uris = {"": _BASE, **{name: urljoin(_BASE, entry["uri"]) for name, entry in listed.items()}}

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        if verb != "request":
            raise LookupError(f"an ALTO server has no verb {verb!r}")
        now = step["at"] / 1e6
        for name, pids in args.get("replace", {}).items():
            self._server.update(NetworkMapResource(name, NetworkMap(pids)), now=now)
        uri = self._uris[args["resource"]] if "resource" in args else urljoin(_BASE, args["path"])
        headers = tuple((name, value.replace("{etag}", self._etag or "")) for name, value in args.get("headers", []))
        request = Request(args["method"], uri, headers, _octets(args.get("body", "")))
        response = self._send(request, now)
        if "credentials" in args:
            again = DigestClient(_BASE, *args["credentials"], random_bytes=bytes).answer(request, response)
            response = self._send(again, now) if again is not None else response
        observed = self._observed(request, response)
        self._etag = response.header("ETag")
        return {name: observed[name] for name in step["observe"]}

    def _send(self, request: Request, now: float) -> Response:
        target = "/" + request.target.removeprefix(_BASE)
        answer = self._server.handle(Request(request.method, target, request.headers, request.body), _PEER, now)
        if not isinstance(answer, Response):
            raise LookupError("a network map is answered at once")
        return answer

    def _observed(self, request: Request, response: Response) -> _Json:
        coding = response.header("Content-Encoding") or "identity"
        kind = (response.header("Content-Type") or "").partition(";")[0].lower()
        body = gzip.decompress(response.body) if coding == "gzip" else response.body
        tree = json.loads(body) if kind.endswith("+json") else {}
        error = {name: value for name, value in tree.get("meta", {}).items() if name in ("code", "field", "value")}
        challenge = (response.header("WWW-Authenticate") or "").partition(" ")[0].lower()
        return {
            "status": response.status,
            "content_type": kind,
            "content_encoding": coding,
            "allow": sorted(name.strip() for name in (response.header("Allow") or "").split(",")),
            # The driver leaves the body out of an answer to HEAD.
            "is_empty": request.method == "HEAD" or not body,
            "same_etag": self._etag is not None and response.header("ETag") == self._etag,
            "vary_encoding": "accept-encoding" in (response.header("Vary") or "").lower(),
            "cache": _kept_by(response.header("Cache-Control") or ""),
            "challenge": challenge,
            "network_map": tree.get("network-map"),
            "resource_ids": sorted(tree.get("resources", {})),
            "default_network_map": tree.get("meta", {}).get("default-alto-network-map"),
            "error": error if kind == media.ERROR else None,
            "error_count": [type(tree.get("meta", {}).get("code"))].count(str),
        }


def _kept_by(cache_control: str) -> str:
    """Who may keep a response (RFC 9111 section 3)."""
    directives = {directive.strip().lower() for directive in cache_control.split(",")}
    if "no-store" in directives:
        return "nobody"
    return "the client" if "private" in directives else "everybody"


def _octets(body: Any) -> bytes:
    """A body is given as its text, as the JSON value, or as a text that is repeated."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict) and body.keys() == {"repeat", "times"}:
        return bytes(body["repeat"], "utf-8") * int(body["times"])
    return json.dumps(body).encode()
