"""The server: what it finds for a URI, what it refuses, and whom it tells what (RFC 7285 sections 8 and 9)."""

import json
from typing import Any

import pytest
from alto_resources import COST, MAP, PARAMS, Data, Echo, Feed, Streams

import alto
from alto.auth import Authenticated, Challenge, Verdict
from alto.directory import Directory
from alto.http import Request, Response
from alto.server import AltoServer, DelegatedDirectory, Limits
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")
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


# Where things are


@pytest.mark.parametrize("target", ["/alto", "/alto/", "/alto?x=1", "https://alto.example.com/alto/"])
def test_the_directory_is_at_the_base_itself(target):
    """RFC 7285 section 9.2: an IRD MUST be available by GET"""
    response = ask(server_of(), "GET", target)
    assert (response.status, response.header("Content-Type")) == (200, "application/alto-directory+json")
    assert json.loads(response.body)["resources"]["map"]["uri"] == "https://alto.example.com/alto/map"


def test_the_directory_has_an_entry_for_each_resource_with_what_it_says_of_itself():
    """RFC 7285 section 9.2.2"""
    costs = Data("costs", 1, "application/alto-costmap+json", uses=("map",), cost_types={"num": ROUTING})
    tree = json.loads(ask(server_of(costs, services=[Streams()]), "GET", "/alto/").body)
    assert tree["meta"] == {
        "cost-types": {"num": {"cost-mode": "numerical", "cost-metric": "routingcost"}},
        "default-alto-network-map": "map",
    }
    assert tree["resources"] == {
        "map": {"uri": "https://alto.example.com/alto/map", "media-type": MAP},
        "echo": {"uri": "https://alto.example.com/alto/echo", "media-type": COST, "accepts": PARAMS},
        "costs": {
            "uri": "https://alto.example.com/alto/costs",
            "media-type": "application/alto-costmap+json",
            "capabilities": {"cost-type-names": ["num"]},
            "uses": ["map"],
        },
        "updates": {
            "uri": "https://alto.example.com/alto/updates",
            "media-type": "text/event-stream",
            "accepts": "application/alto-updatestreamparams+json",
            "capabilities": {"support-stream-control": False},
            "uses": ["map"],
        },
    }


def test_a_directory_may_delegate_to_another_server():
    """RFC 7285 section 9.2.4"""
    server = server_of(delegated=[DelegatedDirectory("custom", "https://custom.example/maps")])
    entry = json.loads(ask(server, "GET", "/alto/").body)["resources"]["custom"]
    assert entry == {"uri": "https://custom.example/maps", "media-type": "application/alto-directory+json"}
    assert ask(server, "GET", "/alto/custom").status == 404


@pytest.mark.parametrize(
    "target", ["/", "/altos", "/alto/nope", "/alto/map/", "/alto/map/x", "/alto//map", "", "*", "x"]
)
def test_what_is_elsewhere_is_not_found(target):
    response = ask(server_of(), "GET", target)
    assert (response.status, response.header("Cache-Control")) == (404, "no-store")


@pytest.mark.parametrize("target", ["/alto/a:b@c", "/alto/a%3Ab%40c", "/alto/a%3ab@c"])
def test_a_resource_id_may_be_percent_encoded(target):
    assert ask(server_of(Data("a:b@c")), "GET", target).status == 200


def test_without_a_base_uri_each_request_says_it_and_the_directory_has_paths():
    server = server_of(base_uri="", services=[service := Streams()])
    response = ask(server, "GET", "/x/y/", base_uri="http://evil.example/x/y/")
    assert json.loads(response.body)["resources"]["map"]["uri"] == "/x/y/map"
    assert ask(server, "GET", "/map").status == 200
    ask(server, "GET", "/x/updates/big", base_uri="http://alto.example/x/")
    assert service.base_uris == ["http://alto.example/x/"]


def test_a_directory_mounted_in_many_places_is_kept_for_a_few(monkeypatch):
    server = server_of(base_uri="")
    for number in range(100):
        assert ask(server, "GET", f"/{number}", base_uri=f"http://x/{number}").status == 200
    assert len(server._representations._directories) == 8


@pytest.mark.parametrize(
    "uri", ["alto.example.com", "/alto", "ftp://x/", "http://", "http:///x", "http://x/?a", "http://x y/"]
)
def test_a_base_uri_that_is_none_is_a_mistake(uri):
    with pytest.raises(alto.ConfigurationError):
        server_of(base_uri=uri)


def test_one_id_for_two_things_and_one_name_for_two_cost_types_are_mistakes():
    with pytest.raises(alto.ConfigurationError, match="twice"):
        server_of(delegated=[DelegatedDirectory("map", "http://x/")])
    with pytest.raises(alto.ConfigurationError, match="another meaning"):
        server_of(Data("x", cost_types={"c": ROUTING}), Data("y", cost_types={"c": CostType("ordinal", "hopcount")}))
    with pytest.raises(alto.ConfigurationError):
        DelegatedDirectory("a.b", "http://x/")


# Methods


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "POST", "get", ""])
def test_a_resource_that_one_gets_takes_no_other_method(method):
    """RFC 7285 section 8.3.2: GET and POST are not interchangeable"""
    response = ask(server_of(), method, "/alto/map")
    assert (response.status, response.header("Allow")) == (405, "GET, HEAD, OPTIONS")


def test_a_resource_that_one_posts_to_takes_no_get():
    for method in ("GET", "HEAD", "PUT"):
        response = ask(server_of(), method, "/alto/echo")
        assert (response.status, response.header("Allow")) == (405, "POST, OPTIONS")


def test_options_tells_the_capabilities_of_one_resource():
    """RFC 7285 section 9.2.2: a client may issue OPTIONS to determine a capability"""
    server = server_of(Data("costs", cost_types={"num": ROUTING}), services=[Streams()])
    response = ask(server, "OPTIONS", "/alto/costs")
    assert (response.status, response.header("Allow")) == (200, "GET, HEAD, OPTIONS")
    tree = json.loads(response.body)
    assert list(tree["resources"]) == ["costs"]
    assert tree["resources"]["costs"]["capabilities"] == {"cost-type-names": ["num"]}
    assert list(tree["meta"]["cost-types"]) == ["num"]
    posting = ask(server, "OPTIONS", "/alto/echo")
    assert (posting.header("Allow"), posting.header("Accept-Post")) == ("POST, OPTIONS", PARAMS)
    assert ask(server, "OPTIONS", "/alto/updates").header("Accept-Post").endswith("updatestreamparams+json")
    assert ask(server, "OPTIONS", "/alto").header("Allow") == "GET, HEAD, OPTIONS"
    assert ask(server, "OPTIONS", "*").status == 204


def test_head_is_answered_like_get():
    server = server_of()
    assert ask(server, "HEAD", "/alto/map") == ask(server, "GET", "/alto/map")


# What is posted


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (PARAMS, 200),
        (f"{PARAMS}; charset=utf-8", 200),
        (f'{PARAMS.upper()} ; Charset="UTF-8";x=y', 200),
        (f"{PARAMS};charset=latin-1", 415),
        ("application/json", 415),
        ("application/alto-endpointprop+json", 415),
        ("nonsense", 415),
        (None, 415),
    ],
)
def test_what_is_posted_has_its_media_type_whatever_its_parameters(content_type, status):
    """RFC 7285 section 8.3.2; trap 9"""
    headers = () if content_type is None else (("Content-Type", content_type),)
    response = ask(server_of(), "POST", "/alto/echo", *headers, body=b'{"say": "x"}')
    assert response.status == status
    if status == 415:
        assert response.header("Accept-Post") == PARAMS


def test_a_body_with_a_content_coding_is_refused():
    response = ask(server_of(), "POST", "/alto/echo", *JSON, ("Content-Encoding", "gzip"), body=b"\x1f\x8b")
    assert (response.status, response.header("Accept-Encoding")) == (415, "identity")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"say": "x",}',
        b'{"say": "x", "say": "y"}',
        b'{"say": NaN}',
        b'{"say": Infinity}',
        b'{"say": 1e999}',
        b'{"say": "\xff"}',
        b'{"say": "\\ud800"}',
        b'\xef\xbb\xbf{"say": "x"}',
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"say": ' + b"9" * 10_000 + b"}",
        "{'say': 'x'}".encode("utf-16"),
    ],
)
def test_what_is_no_json_is_a_syntax_error(body):
    """RFC 7285 section 8.5.2; trap 24"""
    response = ask(server_of(), "POST", "/alto/echo", *JSON, body=body)
    assert response.status == 400
    meta = error_of(response)
    assert meta["code"] == "E_SYNTAX"
    assert set(meta) == {"code", "syntax-error"}


def test_a_syntax_error_says_where():
    """RFC 7285 section 8.5.2"""
    meta = error_of(ask(server_of(), "POST", "/alto/echo", *JSON, body=b'{"say":\n oops}'))
    assert "line 2" in meta["syntax-error"]


@pytest.mark.parametrize("body", [b"null", b"1", b"[]", b'"x"'])
def test_a_body_that_is_no_object_has_the_wrong_type(body):
    assert error_of(ask(server_of(), "POST", "/alto/echo", *JSON, body=body)) == {"code": "E_INVALID_FIELD_TYPE"}


def test_an_error_names_one_field_and_its_value_as_the_code_asks():
    """RFC 7285 section 8.5.2"""
    server = server_of()

    def meta(body: bytes) -> Any:
        return error_of(ask(server, "POST", "/alto/echo", *JSON, body=body))

    assert meta(b"{}") == {"code": "E_MISSING_FIELD", "field": "say"}
    assert meta(b'{"say": 5}') == {"code": "E_INVALID_FIELD_TYPE", "field": "say"}
    assert meta(b'{"say": "refuse"}') == {"code": "E_INVALID_FIELD_VALUE", "field": "say", "value": "refuse"}


def test_unknown_fields_are_ignored():
    """RFC 7285 section 8.3.7"""
    response = ask(server_of(), "POST", "/alto/echo", *JSON, body=b'{"say": "x", "priv:y": {"z": []}}')
    assert json.loads(response.body)["said"] == "x"


def test_a_body_that_is_too_long_is_refused_whatever_it_is_for():
    server = server_of(limits=Limits(body=100))
    assert server.max_body == 100
    for target in ("/alto/echo", "/alto/map", "/nope"):
        assert ask(server, "POST", target, *JSON, body=b"x" * 101).status == 413
    assert ask(server_of(), "POST", "/alto/echo", *JSON, body=b" " * 10_000_000).status == 413


# What is accepted


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        (MAP, 200),
        (f"{MAP},application/alto-error+json", 200),
        (f"text/html, {MAP.upper()};q=0.5", 200),
        ("", 200),
        (f"{MAP};q=0, */*", 406),
        ("application/alto-error+json", 406),
        ("application/alto-costmap+json", 406),
        ("text/html", 406),
    ],
)
def test_only_what_the_client_accepts_is_sent(accept, status):
    response = ask(server_of(), "GET", "/alto/map", ("Accept", accept))
    assert (response.status, response.header("Content-Type") == MAP) == (status, status == 200)


def test_two_accept_fields_are_one_list():
    assert ask(server_of(), "GET", "/alto/map", ("Accept", "text/html"), ("accept", MAP)).status == 200


def test_the_media_type_of_json_has_no_parameter_and_that_of_multipart_has():
    """RFC 7285 section 8.3.3; trap 9"""
    many = Data("pv", media_type="multipart/related;type=application/alto-costmap+json")
    server = server_of(many)
    assert ask(server, "GET", "/alto/map").header("Content-Type") == MAP
    assert ask(server, "GET", "/alto/pv", ("Accept", "multipart/related")).header("Content-Type") == many.media_type


# Who may


def test_a_private_resource_is_for_those_who_prove_who_they_are():
    """RFC 7285 section 8.3.5"""
    secret = Data("secret", 1, is_private=True)
    server = server_of(secret, authenticator=Names())
    refused = ask(server, "GET", "/alto/secret")
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, "Name")
    assert refused.header("Cache-Control") == "no-store"
    served = ask(server, "GET", "/alto/secret", ("Authorization", "ann"))
    assert served.status == 200
    assert (served.header("Cache-Control"), served.header("ETag")) == ("private, no-store", None)
    assert (served.header("Vary"), served.header("Authentication-Info")) == ("Accept-Encoding, Authorization", "ok")
    assert [query.context.user for query in secret.asked] == ["ann"]


def test_a_private_resource_is_asked_each_time_and_never_kept():
    secret = Data("secret", 1, is_private=True)
    server = server_of(secret, authenticator=Names())
    for name in ("ann", "bob", "ann"):
        ask(server, "GET", "/alto/secret", ("Authorization", name), ("If-None-Match", "*"))
    server.apply(server.prepare(), 2.0)
    assert [query.context.user for query in secret.asked] == ["ann", "bob", "ann"]
    assert "secret" not in server._representations._held


def test_who_has_a_certificate_needs_no_other_proof():
    server = server_of(Echo("mine", is_private=True))
    body = b'{"say": "x"}'
    assert ask(server, "POST", "/alto/mine", *JSON, body=body).status == 403
    response = ask(server, "POST", "/alto/mine", *JSON, body=body, user="CN=ann")
    assert json.loads(response.body)["by"] == "CN=ann"


def test_a_private_server_tells_nobody_anything():
    server = server_of(private=True, authenticator=Names(), services=[Streams()])
    for method, target in [("GET", "/alto"), ("GET", "/alto/map"), ("OPTIONS", "/alto/map"), ("POST", "/alto/updates")]:
        assert ask(server, method, target).status == 401
    listed = ask(server, "GET", "/alto", ("Authorization", "ann"))
    assert (listed.status, listed.header("Cache-Control")) == (200, "private, no-store")
    assert server.prepare().encoded == {}


def test_the_client_is_the_far_end_of_the_connection():
    """Trap 3"""
    echo = Echo()
    server = AltoServer(Directory([echo]), epoch=1e9)
    for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:DB8::1", "fe80::1%eth0", "/run/socket"):
        ask(server, "POST", "/echo", *JSON, body=b'{"say": "x"}', peer=(host, 1))
    ask(server, "POST", "/echo", *JSON, body=b'{"say": "x"}', peer=None)
    addresses = [query.context.client for query in echo.asked]
    assert addresses == ["ipv4:192.0.2.1", "ipv4:192.0.2.1", "ipv6:2001:db8::1", "ipv6:fe80::1", None, None]
    assert echo.asked[0].context.wall == 1e9 + 1


# Too much


def test_who_asks_too_often_is_told_when_to_come_back():
    """RFC 7285 sections 8.5.3, 15.5.2"""
    server = server_of(limits=Limits(posts_per_second=0.5, burst=2))

    def status(now: float, host: str = "192.0.2.1") -> tuple[int, str | None]:
        response = ask(server, "POST", "/alto/echo", *JSON, body=b'{"say": "x"}', now=now, peer=(host, 1))
        return response.status, response.header("Retry-After")

    assert [status(0.0), status(0.0), status(0.0)] == [(200, None), (200, None), (503, "2")]
    assert status(0.0, "192.0.2.2") == (200, None)
    assert status(1.0) == (503, "1")
    assert status(2.0) == (200, None)
    assert ask(server, "GET", "/alto/map", now=2.0).status == 200


def test_clients_that_are_counted_are_bounded(monkeypatch):
    monkeypatch.setattr("alto._serving_limits.MAX_CLIENTS", 10)
    server = server_of(limits=Limits(posts_per_second=1.0))
    for number in range(50):
        ask(server, "POST", "/alto/echo", peer=(f"192.0.2.{number}", 1))
    assert len(server._budgets._clients) == 10


@pytest.mark.parametrize(
    "limits", [{"body": 0}, {"burst": 0}, {"posts_per_second": 0.0}, {"posts_per_second": float("nan")}]
)
def test_limits_that_let_nobody_in_are_a_mistake(limits):
    with pytest.raises(alto.ConfigurationError):
        Limits(**limits)


def test_a_resource_may_be_served_by_another_server():
    """RFC 7285 section 8.5.3: 307"""
    server = server_of(redirects={"echo": "https://other.example/echo", "old": "https://other.example/new"})
    response = ask(server, "POST", "/alto/echo?x=1", *JSON, body=b"{}")
    assert (response.status, response.header("Location")) == (307, "https://other.example/echo?x=1")
    assert ask(server, "GET", "/alto/old/tail").header("Location") == "https://other.example/new/tail"
    assert ask(server, "GET", "/alto/old/t\r\nX: y").status == 400
    assert ask(server, "GET", "/alto/map").status == 200
    with pytest.raises(alto.ConfigurationError):
        server_of(redirects={"x": "/relative"})


def test_a_server_that_is_going_down_says_when_to_come_back():
    """RFC 7285 section 8.5.3: 503"""
    response = server_of().unavailable(Request("GET", "/"))
    assert (response.status, response.header("Retry-After")) == (503, "30")


def test_what_a_resource_fails_at_is_no_business_of_the_client():
    server = server_of()
    request = Request("POST", "/alto/echo", JSON, b'{"say": "crash"}')
    with pytest.raises(ZeroDivisionError):
        server.handle(request, PEER, 1.0)
    response = server.internal_error(request)
    assert response.status == 500
    assert b"secret" not in response.body
    assert response.header("Cache-Control") == "no-store"


# Services


def test_a_service_gets_whatever_is_at_or_below_its_uri():
    server = server_of(services=[Streams()])
    assert isinstance(ask(server, "POST", "/alto/updates"), Feed)
    assert ask(server, "GET", "/alto/updates/big").status == 200
    refused = ask(server, "GET", "/alto/updates/a%2Fb")
    assert (refused.status, error_of(refused)["value"]) == (404, "/a%2Fb")


def test_a_service_says_itself_whether_an_answer_may_be_kept_unless_it_is_private():
    public, private = server_of(services=[Streams()]), server_of(services=[Streams(is_private=True)])
    assert ask(public, "GET", "/alto/updates/big").header("Cache-Control") == "public, max-age=9"
    assert ask(public, "POST", "/alto/updates/tick").header("Cache-Control") == "no-store"
    response = ask(private, "GET", "/alto/updates/big", user="ann")
    assert [value for name, value in response.headers if name == "Cache-Control"] == ["private, no-store"]


def test_services_hear_of_updates_and_their_streams_are_ready_once():
    server = server_of(services=[Streams()])
    feed = ask(server, "POST", "/alto/updates")
    poll = ask(server, "GET", "/alto/updates/poll")
    assert server.next_ready() is None
    server.update(Data("map", "new"), now=2.0)
    ready = {id(server.next_ready()), id(server.next_ready())}
    assert (ready, server.next_ready()) == ({id(feed), id(poll)}, None)
    assert (feed.data_to_send(2.0), poll.response.body) == (b"hello\nnew\n", b"new")


def test_the_timer_is_that_of_the_service_that_is_due_first():
    server = server_of(services=[Streams()])
    assert server.get_timer() is None
    feed = ask(server, "POST", "/alto/updates")
    ask(server, "POST", "/alto/updates/tick", now=5.0)
    assert server.get_timer() == 5.02
    server.handle_timer(5.0)
    assert server.next_ready() is None
    server.handle_timer(5.03)
    assert server.next_ready() is feed
