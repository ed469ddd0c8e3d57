"""The server and caches: validators, codings, what may be kept and by whom (RFC 9110, RFC 9111; traps 9, 24, 29)."""

import gzip
import json
from typing import Any

import pytest
from alto_resources import COST, PARAMS, Data, Echo
from hypothesis import example, given
from hypothesis import strategies as st

import alto
from alto.auth import Authenticated, DigestAuthenticator, Verdict
from alto.directory import Directory
from alto.http import Request, Response
from alto.server import AltoServer
from alto.types import CostType

PEER = ("192.0.2.7", 4711)
LARGE = {"text": "x" * 5000}
GZIP = ("Accept-Encoding", "gzip")


def server_of(*resources: Any, **arguments: Any) -> AltoServer:
    return AltoServer(Directory(resources or [Data("map", LARGE), Echo()]), epoch=1_000_000_000.0, **arguments)


def get(
    server: AltoServer, *headers: tuple[str, str], target: str = "/map", now: float = 1.0, method: str = "GET"
) -> Any:
    return server.handle(Request(method, target, headers), PEER, now)


# Validators


def test_the_entity_tag_is_that_of_the_octets():
    server = server_of(Data("map", LARGE), Data("same", LARGE), Data("other", 1))
    tags = [get(server, target=target).header("ETag") for target in ("/map", "/same", "/other")]
    assert tags[0] == tags[1] != tags[2]
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)


def test_the_entity_tag_of_the_compressed_form_is_another():
    server = server_of()
    plain, small = get(server), get(server, GZIP)
    assert gzip.decompress(small.body) == plain.body
    assert small.header("Content-Encoding") == "gzip"
    assert plain.header("Content-Encoding") is None
    assert small.header("ETag") != plain.header("ETag")
    assert small.header("Vary") == plain.header("Vary") == "Accept-Encoding"


@pytest.mark.parametrize("coding", [(), (GZIP,)])
def test_who_has_it_already_is_told_so_with_the_fields_that_a_304_repeats(coding):
    """RFC 9110 section 15.4.5"""
    server = server_of()
    whole = get(server, *coding)
    response = get(server, *coding, ("If-None-Match", whole.header("ETag")))
    assert (response.status, response.body) == (304, b"")
    for name in ("ETag", "Vary", "Cache-Control"):
        assert response.header(name) == whole.header(name)
    assert response.header("Content-Type") is None
    other = get(server, *(() if coding else (GZIP,)), ("If-None-Match", whole.header("ETag")))
    assert other.status == 200


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("*", 304),
        (" * ", 304),
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"a", {tag}', 304),
        ('"a,b" , W/"c",,{tag},"d"', 304),
        ('"", {tag}', 304),
        ('"a"', 200),
        ('"a", *', 200),
        ("{bare}", 200),
        ('"x{bare}"', 200),
        ("w/{tag}", 200),
        ("", 200),
        ('"' * 5000, 200),
    ],
)
def test_if_none_match_compares_weakly_with_each_tag_of_a_list(field, status):
    """RFC 9110 section 13.1.2"""
    server = server_of()
    tag = get(server).header("ETag")
    field = field.replace("{tag}", tag).replace("{bare}", tag.strip('"'))
    for method in ("GET", "HEAD"):
        assert get(server, ("If-None-Match", field), method=method).status == status


def test_several_if_none_match_fields_are_one_list():
    server = server_of()
    tag = get(server).header("ETag")
    assert get(server, ("If-None-Match", '"a"'), ("if-none-match", tag)).status == 304


@pytest.mark.parametrize(("field", "status"), [("*", 200), ("{tag}", 200), ("W/{tag}", 412), ('"a"', 412)])
def test_if_match_compares_strongly(field, status):
    """RFC 9110 section 13.1.1"""
    server = server_of()
    field = field.replace("{tag}", get(server).header("ETag"))
    assert get(server, ("If-Match", field)).status == status


def test_last_modified_is_when_the_data_changed():
    server = server_of(Data("map", 1), Data("costs", 2, uses=("map",)), Data("other", 3))
    targets = ("/map", "/costs", "/other")
    before = [get(server, target=target, now=5.0).header("Last-Modified") for target in targets]
    assert before == ["Sun, 09 Sep 2001 01:46:45 GMT"] * 3
    server.update(Data("map", 9), Data("other", 3), now=100.9)
    after = [get(server, target=target, now=500.0).header("Last-Modified") for target in targets]
    assert after == ["Sun, 09 Sep 2001 01:48:20 GMT"] * 2 + before[2:]


def test_so_it_is_of_what_one_posts_to():
    """RFC 9439 section 6.2: metrics are as fresh as the data that they are made from."""
    posted = Data("posted", 2, media_type=COST, uses=("map",), accepts=PARAMS)
    server = server_of(Data("map", 1), posted, Data("other", 3))
    request = Request("POST", "/posted", (("Content-Type", PARAMS),), b"{}")

    def date(now):
        return server.handle(request, PEER, now).header("Last-Modified")

    assert [date(5.0), date(50.0)] == ["Sun, 09 Sep 2001 01:46:45 GMT"] * 2
    server.update(Data("other", 4), now=60.0)
    assert date(70.0) == "Sun, 09 Sep 2001 01:46:45 GMT"
    server.update(Data("map", 9), now=100.9)
    assert date(500.0) == "Sun, 09 Sep 2001 01:48:20 GMT"


def test_data_that_changes_without_an_update_is_as_old_as_its_version():
    class Live(Data):
        def depends_on(self, directory):
            return (len(self.asked) // 2,)

    server = server_of(Data("map", 1), Live("live", media_type=COST, accepts=PARAMS))
    request = Request("POST", "/live", (("Content-Type", PARAMS),), b"{}")
    dates = [server.handle(request, PEER, now).header("Last-Modified")[-6:-4] for now in (1.0, 2.0, 3.0, 4.0)]
    assert dates == ["41", "42", "42", "44"]


@pytest.mark.parametrize(
    ("date", "status"),
    [
        ("Sun, 09 Sep 2001 01:46:41 GMT", 304),
        ("Sunday, 09-Sep-01 01:46:41 GMT", 304),
        ("Sun Sep  9 01:46:41 2001", 304),
        ("Sun, 09 Sep 2001 01:46:40 GMT", 200),
        ("Sunday, 09-Sep-50 01:46:41 GMT", 304),
        ("Sunday, 09-Sep-52 01:46:41 GMT", 200),
        ("Sun, 31 Feb 2001 01:46:41 GMT", 200),
        ("Sun, 09 Foo 2001 01:46:41 GMT", 200),
        ("2001-09-09", 200),
    ],
)
def test_if_modified_since_takes_the_three_forms_of_a_date_and_ignores_others(date, status):
    """RFC 9110 sections 5.6.7, 13.1.3"""
    assert get(server_of(), ("If-Modified-Since", date)).status == status


def test_a_tag_counts_more_than_a_date():
    """RFC 9110 section 13.2.2"""
    server = server_of()
    late = "Sun, 09 Sep 2040 01:46:41 GMT"
    assert get(server, ("If-Modified-Since", late), ("If-None-Match", '"a"')).status == 200
    early = "Sun, 09 Sep 2000 01:46:41 GMT"
    assert get(server, ("If-Unmodified-Since", early)).status == 412
    assert get(server, ("If-Unmodified-Since", early), ("If-Match", "*")).status == 200
    assert get(server, ("If-Unmodified-Since", "nonsense")).status == 200


# Codings


@pytest.mark.parametrize(
    ("field", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("br, gzip;q=0.8, deflate", "gzip"),
        ("*", "gzip"),
        ("identity, gzip", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("br", None),
        ("gzip;q=nonsense", None),
        ("gzip" + " " * 1000, "gzip"),
    ],
)
def test_the_coding_is_what_the_client_prefers(field, coding):
    """RFC 9110 section 12.5.3"""
    response = get(server_of(), *(() if field is None else (("Accept-Encoding", field),)))
    assert (response.status, response.header("Content-Encoding")) == (200, coding)


@pytest.mark.parametrize("field", ["identity;q=0", "*;q=0", "br, *;q=0"])
def test_a_client_that_takes_neither_coding_gets_none(field):
    assert get(server_of(), ("Accept-Encoding", field)).status == 406


def test_what_is_small_is_not_compressed():
    assert get(server_of(Data("map", 1)), GZIP).header("Content-Encoding") is None


@pytest.mark.parametrize(("method", "target"), [("GET", "/map"), ("POST", "/echo")])
def test_even_what_is_small_is_compressed_for_who_takes_nothing_else(method, target):
    """RFC 9110 section 12.5.3: the identity coding is "indicated as unacceptable" """
    headers = (("Accept-Encoding", "gzip"), ("Accept-Encoding", "identity;q=0"), ("Content-Type", PARAMS))
    server = server_of(Data("map", 1), Echo())
    response = server.handle(Request(method, target, headers, b'{"say": "x"}'), PEER, 1.0)
    assert isinstance(response, Response)
    assert (response.status, response.header("Content-Encoding")) == (200, "gzip")
    assert json.loads(gzip.decompress(response.body))["meta"] == {}
    if method == "GET":
        assert response.header("ETag") != get(server).header("ETag")
        again = get(server, *headers, ("If-None-Match", response.header("ETag") or ""))
        assert (again.status, again.header("ETag")) == (304, response.header("ETag"))


def test_an_answer_to_a_post_is_compressed_if_it_is_worth_it_and_not_too_long_to_do_at_once():
    server = server_of()

    def post(length: int) -> Response:
        body = json.dumps({"say": "x" * length}).encode()
        response = server.handle(Request("POST", "/echo", (("Content-Type", PARAMS), GZIP), body), PEER, 1.0)
        assert isinstance(response, Response)
        return response

    assert [post(length).header("Content-Encoding") for length in (10, 5000, 300_000)] == [None, "gzip", None]
    assert [post(length).header("Vary") for length in (10, 5000)] == ["Accept-Encoding"] * 2
    assert json.loads(gzip.decompress(post(5000).body))["said"] == "x" * 5000


# What may be kept


def test_data_for_everybody_may_be_kept_and_is_to_be_asked_about():
    assert get(server_of()).header("Cache-Control") == "public, no-cache"
    assert get(server_of(), target="/").header("Cache-Control") == "public, no-cache"
    assert get(server_of(max_age=60)).header("Cache-Control") == "public, max-age=60, must-revalidate"


def test_answers_to_posts_and_errors_are_not_to_be_kept():
    server = server_of(max_age=60)
    posts = [b'{"say": "x"}', b'{"say": "refuse"}', b"{", b"{}"]
    answers = [server.handle(Request("POST", "/echo", (("Content-Type", PARAMS),), body), PEER, 1.0) for body in posts]
    answers += [get(server, target="/nope"), get(server, ("Accept", "text/html")), get(server, method="PUT")]
    answers += [
        get(server, ("If-Match", '"a"')),
        get(server, method="OPTIONS"),
        get(server, method="OPTIONS", target="/"),
    ]
    for answer in answers:
        assert isinstance(answer, Response)
        assert (answer.header("Cache-Control"), answer.header("ETag")) == ("no-store", None)


def test_an_error_for_one_input_is_no_answer_to_another():
    server = server_of()

    def post(text: str) -> int:
        body = json.dumps({"say": text}).encode()
        answer = server.handle(Request("POST", "/echo", (("Content-Type", PARAMS),), body), PEER, 1.0)
        assert isinstance(answer, Response)
        return answer.status

    assert [post(text) for text in ("refuse", "x", "refuse", "y")] == [400, 200, 400, 200]


def test_a_resource_is_asked_once_for_everybody_and_again_when_it_changes():
    data = Data("map", 1)
    server = server_of(data)
    for headers in [(), (GZIP,), (("Accept", "*/*"),)]:
        get(server, *headers)
    assert len(data.asked) == 1
    assert (data.asked[0].context.client, data.asked[0].context.user) == (None, None)
    server.update(new := Data("map", 2), now=2.0)
    assert json.loads(get(server).body)["data"] == 2
    assert len(new.asked) == 1


def test_a_resource_changes_with_what_it_depends_on():
    server = server_of(Data("map", 1), Data("costs", 2, uses=("map",)))
    before = get(server, target="/costs")
    server.update(Data("map", 9), now=2.0)
    after = get(server, ("If-None-Match", before.header("ETag")), target="/costs")
    assert (after.status, json.loads(after.body)["map"]) == (200, 9)


def test_what_was_prepared_is_served_without_asking_again():
    server = server_of(Data("map", 1), Data("costs", 2, uses=("map",)))
    server.apply(server.prepare(), 1.0)
    assert get(server, now=50.0).header("Last-Modified") == "Sun, 09 Sep 2001 01:46:41 GMT"
    prepared = server.prepare(new := Data("map", 3))
    assert set(prepared.encoded) == {"map", "costs"}
    assert json.loads(get(server).body)["data"] == 1
    server.apply(prepared, 60.0)
    answer = get(server, now=70.0)
    assert (json.loads(answer.body)["data"], len(new.asked)) == (3, 1)
    assert answer.header("Last-Modified") == "Sun, 09 Sep 2001 01:47:40 GMT"


def test_what_was_prepared_for_what_is_no_longer_there_is_not_served():
    server = server_of(Data("map", 1), Data("costs", 2, uses=("map",)))
    prepared = server.prepare(Data("costs", 3, uses=("map",)))
    server.update(Data("map", 8), now=1.0)
    server.apply(prepared, 2.0)
    assert json.loads(get(server, target="/costs").body) == {"meta": {}, "data": 3, "map": 8}


def test_an_update_that_cannot_be_changes_nothing():
    numerical = {"c": CostType("numerical", "routingcost")}
    server = server_of(Data("map", 1, cost_types=numerical), Data("costs", 2, uses=("map",), cost_types=numerical))
    before = server.directory
    for wrong in [
        Data("nope", 1),
        Data("costs", 1, uses=("nope",)),
        Data("costs", cost_types={"c": CostType("ordinal", "x")}),
    ]:
        with pytest.raises(alto.ConfigurationError):
            server.update(wrong, now=2.0)
        with pytest.raises(alto.ConfigurationError):
            server.prepare(wrong)
    assert server.directory is before


def test_the_directory_has_the_same_validators_while_it_says_the_same():
    server = server_of()
    before = get(server, target="/", now=1.0)
    server.update(Data("map", 5), now=50.0)
    after = get(server, ("If-None-Match", before.header("ETag")), target="/", now=60.0)
    assert (after.status, after.header("Last-Modified")) == (304, before.header("Last-Modified"))
    server.update(Data("map", 5, media_type="application/alto-networkmap+json;v=2"), now=70.0)
    changed = get(server, ("If-None-Match", before.header("ETag")), target="/", now=80.0)
    assert (changed.status, changed.header("Last-Modified")) == (200, "Sun, 09 Sep 2001 01:48:00 GMT")


# Whatever comes


class Anybody:
    def authenticate(self, request: Request, now: float) -> Verdict:
        return Authenticated("anybody")


NAMES = [
    "Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Type", "Host", "If-Match",
    "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "X",
]  # fmt: skip
VALUES = [
    PARAMS,
    "*/*",
    "gzip;q=1",
    '"a", W/"b"',
    "*",
    "Sun, 09 Sep 2001 01:46:41 GMT",
    'Digest username="a"',
    "Digest a=b, c",
]
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(VALUES), st.text())), max_size=6).map(
    tuple
)
TARGETS = st.one_of(st.sampled_from(["/", "/map", "/echo", "/secret", "/mine", "*", "http://x/map"]), st.text())
METHODS = st.one_of(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]), st.text())
BODIES = st.one_of(st.binary(), st.just(b'{"say": "x"}'), st.text(alphabet='{}[]",:01aNn\\u').map(str.encode))
SERVERS = [
    AltoServer(
        Directory([Data("map", LARGE), Echo(), Data("secret", is_private=True), Echo("mine", is_private=True)]),
        epoch=0.0,
        authenticator=authenticator,
        base_uri=base_uri,
        redirects={"away": "http://x/y"},
    )
    for authenticator in (Anybody(), DigestAuthenticator("r", {"a": "b"}), None)
    for base_uri in ("", "http://x/b/")
]


@given(st.sampled_from(SERVERS), METHODS, TARGETS, HEADERS, BODIES)
@example(SERVERS[1], "GET", "/b/away\ud800?\r\n", (), b"")
@example(SERVERS[2], "GET", "/secret", (("Authorization", 'Digest username="\ud800", response="\ud800"'),), b"")
def test_every_request_is_answered_with_what_http_can_carry(server, method, target, headers, body):
    response = server.handle(Request(method, target, headers, body), PEER, 1.0)
    assert isinstance(response, Response)
    assert response.status in {200, 204, 304, 307, 400, 401, 403, 404, 405, 406, 412, 413, 415}
    for name, value in response.headers:
        assert (name + value).isascii()
        assert (name + value).isprintable()
    if response.status >= 300 and response.status != 304:
        assert response.header("Cache-Control") == "no-store"
    if "secret" in target or "mine" in target:
        assert "public" not in (response.header("Cache-Control") or "")


@given(
    st.binary(max_size=400)
    | st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        lambda tree: json.dumps(tree).encode()
    )
)
def test_every_body_gets_an_answer_or_one_error(body):
    response = server_of().handle(Request("POST", "/echo", (("Content-Type", PARAMS),), body), PEER, 1.0)
    assert isinstance(response, Response)
    assert response.status in {200, 400}
    if response.status == 400:
        meta = json.loads(response.body)["meta"]
        assert meta["code"] in {"E_SYNTAX", "E_MISSING_FIELD", "E_INVALID_FIELD_TYPE", "E_INVALID_FIELD_VALUE"}
        assert all(isinstance(value, str) for value in meta.values())
        assert "value" not in meta or "field" in meta


class Choosy(Data):
    """What cannot be served beside a map that says 13."""

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        if directory.find("map", Data).data == 13:
            raise alto.ConfigurationError("13 is no number of PIDs")
        return {}


def test_what_does_not_fit_together_is_found_before_anybody_asks():
    with pytest.raises(alto.ConfigurationError, match="13"):
        server_of(Data("map", 13), Choosy("other"))
    server = server_of(Data("map", 1), Choosy("other"))
    for change in (lambda: server.update(Data("map", 13), now=1.0), lambda: server.prepare(Data("map", 13))):
        with pytest.raises(alto.ConfigurationError, match="13"):
            change()
    assert json.loads(get(server).body)["data"] == 1
