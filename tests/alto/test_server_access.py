"""The server: who may see what, and how much it does for whom (RFC 7285 sections 8.3.5, 8.5.3, 15.5)."""

import json

import pytest
from alto_asking import JSON, PEER, Names, ask, server_of
from alto_resources import Data, Echo, Streams

import alto
from alto.directory import Directory
from alto.http import Request
from alto.server import AltoServer, Limits

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


def test_what_uses_a_private_resource_is_private_as_well():
    secret = Data("secret", 1, is_private=True)
    with pytest.raises(alto.ConfigurationError, match="'costs' would tell everybody of the private 'secret'"):
        server_of(secret, Data("costs", uses=("secret",)))
    server_of(secret, Data("costs", uses=("secret",), is_private=True))


def test_who_has_a_certificate_needs_no_other_proof():
    server = server_of(Echo("mine", is_private=True))
    body = b'{"say": "x"}'
    assert ask(server, "POST", "/alto/mine", *JSON, body=body).status == 403
    response = ask(server, "POST", "/alto/mine", *JSON, body=body, user="CN=ann")
    assert json.loads(response.body)["by"] == "CN=ann"


def test_a_private_server_tells_nobody_anything():
    server = server_of(private=True, authenticator=Names(), services=[Streams()], redirects={"moved": "http://x/y"})
    for method, target in [("GET", "/alto"), ("GET", "/alto/map"), ("OPTIONS", "/alto/map"), ("POST", "/alto/updates")]:
        assert ask(server, method, target).status == 401
    # Not even which resources there are, and which are at another server.
    for target in ("/alto/nope", "/alto/map/below", "/alto/moved"):
        assert ask(server, "GET", target).status == 401
    known = ("Authorization", "ann")
    assert [ask(server, "GET", f"/alto/{name}", known).status for name in ("nope", "moved")] == [404, 307]
    listed = ask(server, "GET", "/alto", ("Authorization", "ann"))
    assert (listed.status, listed.header("Cache-Control")) == (200, "private, no-store")
    for name in ("ann", "bob"):
        served = ask(server, "GET", "/alto/map", ("Authorization", name))
        assert (served.header("Cache-Control"), served.header("Vary")) == (
            "private, no-store",
            "Accept-Encoding, Authorization",
        )


def test_the_client_is_the_far_end_of_the_connection():
    """Trap 3"""
    echo = Echo()
    server = AltoServer(Directory([Data("map"), echo]), epoch=1e9)
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
    # Whoever was silent for long has no more than its burst to spend.
    assert [status(1e6)[0] for _ in range(3)] == [200, 200, 503]


def test_the_addresses_of_one_ipv6_subscriber_are_one_client():
    server = server_of(limits=Limits(posts_per_second=1.0, burst=1))
    hosts = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"]
    statuses = [ask(server, "POST", "/alto/echo", *JSON, body=b'{"say": "x"}', peer=(host, 1)).status for host in hosts]
    assert statuses == [200, 503, 200]


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
