"""The server: what it finds for a URI, what it refuses, and whom it tells what (RFC 7285 sections 8 and 9)."""

import json
from typing import Any

import pytest
from alto_asking import JSON, ask, error_of, server_of
from alto_resources import COST, MAP, PARAMS, Data, Echo, Feed, Streams

import alto
from alto._serving_answers import error_response
from alto.directory import Directory
from alto.errors import ErrorCode, RequestError
from alto.server import AltoServer, DelegatedDirectory, Limits
from alto.types import CostType

ROUTING = CostType("numerical", "routingcost")


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
    assert DelegatedDirectory("custom", "/maps").uri == "/maps"
    for wrong in ("", "ftp://custom.example/", "https://", "https://custom.example/m\u00e4ps", "https://[x]/"):
        with pytest.raises(alto.ConfigurationError, match="is no http or https URI"):
            DelegatedDirectory("custom", wrong)


@pytest.mark.parametrize(
    "target", ["/", "/altos", "/alto/nope", "/alto/map/", "/alto/map/x", "/alto//map", "", "*", "x"]
)
def test_what_is_elsewhere_is_not_found(target):
    response = ask(server_of(), "GET", target)
    assert (response.status, response.header("Cache-Control")) == (404, "no-store")


@pytest.mark.parametrize("target", ["/alto/a:b@c", "/alto/a%3Ab%40c", "/alto/a%3ab@c"])
def test_a_resource_id_may_be_percent_encoded(target):
    assert ask(server_of(Data("a:b@c")), "GET", target).status == 200


def test_a_server_that_knows_its_uri_does_not_listen_to_the_request():
    response = ask(server_of(), "GET", "/alto/", base_uri="http://evil.example/other/")
    assert json.loads(response.body)["resources"]["map"]["uri"] == "https://alto.example.com/alto/map"
    assert ask(server_of(), "GET", "/other/", base_uri="http://evil.example/other/").status == 404


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
    """RFC 7285 sections 9.1.1, 9.2.2"""
    for twice in ({"resources": [Data("map"), Data("map")]}, {"resources": [Data("updates")], "services": [Streams()]}):
        with pytest.raises(alto.ConfigurationError, match="twice"):
            Directory(**twice)
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
    for codings in (("", "gzip"), ("identity", "gzip"), ("br",)):
        fields = [("Content-Encoding", coding) for coding in codings]
        assert ask(server_of(), "POST", "/alto/echo", *JSON, *fields, body=b'{"say": "x"}').status == 415
    assert ask(server_of(), "POST", "/alto/echo", *JSON, ("Content-Encoding", "Identity"), body=b'{"say": "x"}')
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


def test_an_error_has_only_the_members_that_go_with_its_code():
    """RFC 7285 section 8.5.2"""
    for code, members in [
        (ErrorCode.SYNTAX, {"field", "syntax-error"}),
        (ErrorCode.MISSING_FIELD, {"field"}),
        (ErrorCode.INVALID_FIELD_TYPE, {"field"}),
        (ErrorCode.INVALID_FIELD_VALUE, {"field", "value"}),
    ]:
        response = error_response(RequestError(code, field="a/b", value="5", syntax_error="here"))
        assert error_of(response).keys() == {"code", *members}
    assert "value" not in error_of(error_response(RequestError(ErrorCode.INVALID_FIELD_VALUE, value="5")))


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


# Services


def test_a_service_gets_whatever_is_at_or_below_its_uri():
    server = server_of(services=[Streams()])
    assert isinstance(ask(server, "POST", "/alto/updates"), Feed)
    assert ask(server, "GET", "/alto/updates/big").status == 200
    refused = ask(server, "GET", "/alto/updates/a%2Fb")
    assert (refused.status, error_of(refused)["value"]) == (404, "/a%2Fb")


def test_a_service_says_itself_whether_an_answer_may_be_kept_unless_it_is_private():
    public, private = server_of(services=[Streams()]), server_of(services=[Streams(is_private=True)])
    kept = ask(public, "GET", "/alto/updates/big")
    assert (kept.header("Cache-Control"), kept.header("Vary")) == ("public, max-age=9", "Accept-Encoding")
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


def test_a_root_directory_names_a_default_network_map_even_if_nobody_chose_one():
    """RFC 7285 section 9.2.2"""
    filtered = Data("filtered", accepts="application/alto-networkmapfilter+json")
    server = AltoServer(Directory([Echo(), filtered, Data("one"), Data("two")]), epoch=0.0)
    assert json.loads(ask(server, "GET", "/").body)["meta"] == {"default-alto-network-map": "one"}


def test_a_server_without_a_network_map_is_refused_unless_it_is_a_part_of_another():
    """RFC 7285 sections 9.2.2 and 11.2.1"""
    filtered = Data("filtered", accepts="application/alto-networkmapfilter+json")
    for resources in ([Echo()], [Echo(), filtered], []):
        with pytest.raises(alto.ConfigurationError, match="needs a network map"):
            AltoServer(Directory(resources), epoch=0.0)
    part = AltoServer(Directory([Echo()]), epoch=0.0, elsewhere=())
    assert json.loads(ask(part, "GET", "/").body)["meta"] == {}
    with pytest.raises(alto.ConfigurationError, match="'nope', which is to be listed elsewhere, is not"):
        AltoServer(Directory([Echo()]), epoch=0.0, elsewhere=["nope"])


def test_what_is_listed_elsewhere_is_neither_listed_nor_served_and_others_are_made_from_it():
    """RFC 7285 sections 9.1.1 and 9.2.4: in the closure an ID is there once"""
    hidden = Data("whole", 7, cost_types={"c": ROUTING})
    server = AltoServer(Directory([hidden, Data("part", 1, COST, uses=("whole",))]), epoch=0.0, elsewhere=["whole"])
    server.apply(server.prepare(), 1.0)
    assert json.loads(ask(server, "GET", "/").body) == {
        "meta": {},
        "resources": {"part": {"uri": "/part", "media-type": COST, "uses": ["whole"]}},
    }
    assert json.loads(ask(server, "GET", "/part").body)["whole"] == 7
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        assert ask(server, method, "/whole").status == 404
    assert not hidden.asked
    server.update(Data("whole", 8), now=2.0)
    assert json.loads(ask(server, "GET", "/part").body)["whole"] == 8


def test_an_entry_is_for_get_or_for_post_and_its_uri_takes_that_method_alone():
    """RFC 7285 section 9.2.2"""
    server = server_of(Data("other"))
    for entry in json.loads(ask(server, "GET", "/alto").body)["resources"].values():
        method = "POST" if "accepts" in entry else "GET"
        headers = (("Content-Type", entry.get("accepts", "")),)
        assert ask(server, method, entry["uri"], *headers, body=b'{"say": "x"}').status == 200
        other = "GET" if method == "POST" else "POST"
        assert ask(server, other, entry["uri"], *headers, body=b'{"say": "x"}').status == 405


def test_a_resource_keeps_its_id_and_its_uri_when_its_data_changes():
    """RFC 7285 section 9.1.1"""
    server = server_of()
    before = ask(server, "GET", "/alto").body
    server.update(Data("map", "new"), now=2.0)
    assert ask(server, "GET", "/alto").body == before
    assert json.loads(ask(server, "GET", "/alto/map").body)["data"] == "new"


def test_of_several_errors_one_is_returned():
    """RFC 7285 section 8.5.2"""
    response = ask(server_of(), "POST", "/alto/echo", *JSON, body=b'{"sya": 5}')
    assert json.loads(response.body) == {"meta": {"code": "E_MISSING_FIELD", "field": "say"}}
