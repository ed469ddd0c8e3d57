"""Our DECADE server as an implementation that answers conformance requests (decade/PROFILE.md sections 4 to 9)."""

import base64
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from decade.authz import Question
from decade.errors import DecodeError, ErrorCode
from decade.http import Request, Response, Upload
from decade.ledger import MemoryQuotas
from decade.messages import MEDIA_TYPE, Limits, ResourcePolicy, decode_message
from decade.names import name_of
from decade.policy import PolicyTree
from decade.problem import PROBLEM_TYPE, Problem, decode_problem
from decade.server import Server
from decade.settings import Extension, Settings, default_limits
from decade.tokens import TokenFeature, VerifiedToken
from decade.waiting import settle
from interop.conformance._decade_values import message_to_json, object_from_json, registered_key, to_json

_Json = dict[str, Any]
_PEER = ("192.0.2.1", 4711)
_EXPIRY = re.compile(r"(?:^|,)\s*exp=(\d+)\s*(?:,|$)")


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Send the requests of a trace to a server that has what `params` describes."""
    exchanges = _Exchanges(params)
    return [exchanges.step(step) for step in steps]


@attrs.frozen
class Answer:
    """An answer with its whole body; `is_whole`: as many octets came as were announced."""

    response: Response
    octets: bytes
    is_whole: bool


class _Exchanges:
    def __init__(self, params: _Json) -> None:
        self._tokens: Mapping[str, str] = params["tokens"]
        self._server = make_server(params)
        self._open: dict[str, Response | Upload] = {}
        self._last: Answer | None = None
        for stored in params.get("stored", ()):
            octets = bytes.fromhex(stored["body"])
            put = {"method": "PUT", "target": name_of(octets).path, **stored}
            self._request(put, stored.get("at", 0) / 1e6)

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        now = step["at"] / 1e6
        before = self._last
        match verb:
            case "request":
                for _ in range(args.get("times", 1)):
                    self._last = self._request(args, now)
            case "continue":
                self._last = self._continue(self._open.pop(args["hold"]), bytes.fromhex(args.get("body", "")), now)
            case "abandon":
                self._abandon(self._open.pop(args["hold"]), now)
                self._last = None
            case "wait":
                self._server.handle_timer(now)
                self._last = None
            case _:
                raise LookupError(f"a DECADE server has no verb {verb!r}")
        found = observe(self._last, before) if self._last is not None else {}
        return {name: found[name] for name in step["observe"]}

    def _request(self, args: _Json, now: float) -> Answer | None:
        octets = bytes.fromhex(args["body"]) if "body" in args else None
        headers = [tuple(pair) for pair in args.get("headers", ())]
        if octets is not None and not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(octets))))
        if "token" in args:
            token = base64.urlsafe_b64encode(bytes.fromhex(self._tokens[args["token"]])).rstrip(b"=").decode()
            headers.append(("Authorization", f"Bearer {token}"))
        request = Request(args["method"], args["target"], tuple(headers))
        answer: Any = settle(self._server.handle(request, _PEER, now), now)
        if "hold" in args:
            self._open[args["hold"]] = answer
            return Answer(answer, b"", is_whole=False) if isinstance(answer, Response) else None
        return self._continue(answer, octets or b"", now)

    def _continue(self, answer: Any, octets: bytes, now: float) -> Answer:
        if not isinstance(answer, Response):
            answer = answer.feed(octets, now) or settle(answer.finish(now), now)
        if isinstance(answer.body, bytes):
            return Answer(answer, answer.body, is_whole=True)
        parts = []
        while part := answer.body.read(65536, now):
            parts.append(part)
        answer.body.close(now)
        got = b"".join(parts)
        return Answer(answer, got, is_whole=len(got) == answer.body.length)

    def _abandon(self, answer: Any, now: float) -> None:
        if isinstance(answer, Response):
            if not isinstance(answer.body, bytes):
                answer.body.close(now)
        else:
            settle(answer.abort(now), now)


def make_server(params: _Json, random_bytes: Callable[[int], bytes] = bytes) -> Server:
    """The server that the parameters of a trace describe."""
    keys = {key.key.kid: key for key in map(registered_key, params["keys"])}
    extensions = frozenset(map(_extension, params.get("features", ())))
    tree = PolicyTree(MemoryQuotas(), extensions=extensions)
    for node in params["policies"]:
        tree.put(tuple(node["path"]), object_from_json(ResourcePolicy, node["policy"]))
    settings = Settings(
        server=params["server"],
        limits=object_from_json(Limits, to_json(default_limits()) | params.get("limits", {})),
        siblings=tuple(params.get("siblings", ())),
        is_shared_cache_allowed=params.get("shared_cache", True),
        extensions=extensions,
        **({"max_requests": params["max_requests"]} if "max_requests" in params else {}),
    )
    blocked = frozenset(params.get("blocked", ()))

    def refuse(question: Question, _: VerifiedToken | None) -> ErrorCode | None:
        names = {getattr(name, "binary", b"").hex() for name in question.names or ()}
        return ErrorCode.LEGAL_BLOCK if names & blocked else None

    return Server(
        settings,
        keys.get,
        tree,
        epoch=params["wall"],
        local_policy=refuse if blocked else None,
        random_bytes=random_bytes,
    )


def _extension(name: str) -> Extension | TokenFeature:
    return TokenFeature(name) if name in {str(feature) for feature in TokenFeature} else Extension(name)


def observe(answer: Answer, before: Answer | None) -> _Json:
    """What is seen of an answer, and how it stands to the one before."""
    response = answer.response
    kind = response.header("Content-Type") or ""
    problem = decode_problem(answer.octets) if kind == PROBLEM_TYPE else None
    return {
        "status": response.status,
        "body": answer.octets.hex(),
        "is_whole": answer.is_whole,
        "is_same": before is not None and _shown(answer) == _shown(before),
        "is_fresh": _is_fresh(response),
        "message": _message(answer.octets) if kind == MEDIA_TYPE and answer.octets else None,
        **_problem(problem),
        **{name: response.header(field) for name, field in _FIELDS.items()},
        "content_length": int(response.header("Content-Length") or 0),
        "allow": sorted(method.strip() for method in (response.header("Allow") or "").split(",")),
        "cache_control": _directives(response),
        "expires": _expiry(response),
        "challenge": (response.header("WWW-Authenticate") or "").replace("Bearer", "bearer") or None,
        "has_retry_after": response.header("Retry-After") is not None,
    }


_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "etag": "ETag",
        "location": "Location",
        "content_type": "Content-Type",
        "content_range": "Content-Range",
        "accept_ranges": "Accept-Ranges",
        "content_type_options": "X-Content-Type-Options",
        "referrer_policy": "Referrer-Policy",
        "signature": "Decade-Signature",
        "content_security_policy": "Content-Security-Policy",
    }
)


def _problem(problem: Problem | None) -> _Json:
    if problem is None:
        return dict.fromkeys(("code", "dimension", "limit", "used", "alternates"))
    alternates = None if problem.alternates is None else list(problem.alternates)
    dimension = None if problem.dimension is None else int(problem.dimension)
    code, limit, used = int(problem.code), problem.limit, problem.used
    return {"code": code, "dimension": dimension, "limit": limit, "used": used, "alternates": alternates}


def _message(octets: bytes) -> _Json | None:
    try:
        return message_to_json(decode_message(octets))
    except DecodeError:
        return None


def _directives(response: Response) -> list[str]:
    control = response.header("Cache-Control") or ""
    return sorted(part.strip().lower() for part in control.split(",") if part.strip())


def _is_fresh(response: Response) -> bool:
    """Whether a cache may use the answer again without asking (RFC 9111 sections 3, 4.2 and 5.2.2)."""
    directives = dict(part.partition("=")[::2] for part in _directives(response))
    if "no-store" in directives or "no-cache" in directives:
        return False
    stale = any(name.startswith("stale-") for name in directives)
    lives = [directives[name] != "0" for name in ("s-maxage", "max-age") if name in directives]
    return stale or response.header("Expires") is not None or (lives[0] if lives else True)


def _expiry(response: Response) -> int | None:
    found = _EXPIRY.search(response.header("Decade-Attrs") or "")
    return int(found[1]) if found else None


def _shown(answer: Answer) -> tuple[Any, ...]:
    """What a client can tell two answers by, but for their times."""
    fields = sorted((name.lower(), value) for name, value in answer.response.headers)
    return answer.response.status, [pair for pair in fields if pair[0] not in ("date", "retry-after")], answer.octets
