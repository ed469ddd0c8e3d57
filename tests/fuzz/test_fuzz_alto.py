"""A whole ALTO server and whatever may be posted to it; its live counterpart is tests/interop/test_alto_fuzzed.py.

`make fuzz` runs this with the soak profile. Whatever is posted, the answer is a document that the RFC's text and our
strict reader accept, or exactly one ALTO error that tells the truth; and nobody is told what is another's.
"""

import itertools
import json

import pytest
from alto_judge import CONTROL_ENTRY, Judge
from alto_mutations import TOKENS, mutants
from alto_whole import ASKED, CONTROL, POSTED, SECRET, whole_server
from hypothesis import given
from hypothesis import strategies as st

from alto.http import Request, Response
from alto.ird import ResourceEntry

BASE = "https://maps.example.com/"
CLIENT, OTHER = ("192.0.2.7", 4711), ("192.0.2.33", 4712)
SERVER = whole_server(BASE)
DIRECTORY = json.loads(SERVER.handle(Request("GET", "/"), CLIENT, 0.0).body)
JUDGE = Judge(DIRECTORY, BASE)
CLOCK = itertools.count(1.0, 1000.0)
"""Each request is long after the one before: what was opened has been given up by then."""
ANEW = ("updates", "tips", "endpoint-cost-pv", "path-vectors")
"""Services whose answers have something new in them each time: URIs and names that nobody can guess."""


def post(path, body, peer=CLIENT, media_type=None):
    """The answer; of a stream all that it says at first, before the client leaves."""
    kind = media_type or DIRECTORY["resources"][path]["accepts"]
    now = next(CLOCK)
    SERVER.handle_timer(now)
    answer = SERVER.handle(Request("POST", f"/{path}", (("Content-Type", kind),), body), peer, now)
    if isinstance(answer, Response):
        return answer
    octets = b""
    while piece := answer.data_to_send(now):
        octets += piece
    answer.disconnect(now)
    return Response(answer.status, answer.headers, octets)


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_rightly_is_answered(name):
    for body in ASKED[name]:
        octets = json.dumps(body).encode()
        assert JUDGE.judge(name, octets, post(name, octets)) == "ok", body


def test_every_service_of_the_server_is_asked():
    posted = {name for name, entry in DIRECTORY["resources"].items() if "accepts" in entry}
    assert posted - {SECRET} == ASKED.keys()


@pytest.mark.parametrize("name", ASKED)
@given(data=st.data())
def test_whatever_is_posted_gets_a_document_or_one_true_error(name, data):
    body = data.draw(mutants(ASKED[name]))
    answer = post(name, body)
    verdict = JUDGE.judge(name, body, answer)
    again, others = post(name, body), post(name, body, OTHER)
    assert JUDGE.judge(name, body, again) == JUDGE.judge(name, body, others) == verdict
    if name not in ANEW or verdict != "ok":
        assert again == answer
    # Who asks without sources or destinations stands in for them, and nobody else does.
    for one, peer in ((answer, OTHER), (others, CLIENT)):
        address = f'"ipv4:{peer[0]}"'.encode()
        assert address not in one.body or address in body


@given(data=st.data())
def test_whatever_is_posted_to_a_stream_gets_nothing_or_one_true_error(data):
    now = next(CLOCK)
    SERVER.handle_timer(now)
    opened = json.dumps(ASKED["updates"][1]).encode()
    stream = SERVER.handle(Request("POST", "/updates", (("Content-Type", POSTED),), opened), CLIENT, now)
    first = stream.data_to_send(now).partition(b"data: ")[2].partition(b"\n")[0]
    path = json.loads(first)["control-uri"].removeprefix(BASE)
    body = data.draw(mutants(CONTROL))
    answer = SERVER.handle(Request("POST", f"/{path}", (("Content-Type", POSTED),), body), CLIENT, now)
    verdict = JUDGE.judge(CONTROL_ENTRY.id, body, answer)
    # Nothing is done by halves: what was refused is refused again.
    again = SERVER.handle(Request("POST", f"/{path}", (("Content-Type", POSTED),), body), CLIENT, now)
    if verdict != "ok":
        assert again == answer
    while stream.data_to_send(now):
        pass
    stream.disconnect(now)


_METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "", "*"])
_PATHS = st.sampled_from(["", SECRET, *DIRECTORY["resources"], "%2e%2e", "tips/x/ug/0/1", "updates/x", "?", "//", "*"])
_FIELDS = st.sampled_from(
    [
        "Content-Type",
        "Accept",
        "Accept-Encoding",
        "If-None-Match",
        "If-Modified-Since",
        "Authorization",
        "Range",
        "Content-Encoding",
        "Host",
        "X-Forwarded-For",
        "Content-Length",
        "Expect",
        "",
    ]
)
_TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "*",
        "*/*",
        "gzip;q=0",
        "identity;q=0, *;q=0",
        '""',
        'W/"x", "y"',
        "Digest username=ann",
        'Digest a="',
        "bytes=0-1",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "text/html",
        "application/alto-costmapfilter+json; charset=latin-1",
        *TOKENS,
    ]
)


@given(
    _METHODS,
    st.builds("/{}{}".format, _PATHS, st.sampled_from(["", "?x=1", "/", "/x", "#f"])) | st.text(max_size=20),
    st.lists(st.tuples(_FIELDS, _TEXTS), max_size=4),
    st.binary(max_size=20),
    st.sampled_from([None, CLIENT, ("::1", 1), ("nonsense", -1)]),
)
def test_whatever_a_request_is_it_is_answered_and_the_private_stays_private(method, target, headers, body, peer):
    now = next(CLOCK)
    answer = SERVER.handle(Request(method, target, tuple(headers), body), peer, now)
    if not isinstance(answer, Response):
        answer.disconnect(now)
        return
    assert answer.status in (200, 204, 304, 400, 401, 404, 405, 406, 412, 415)
    assert b"Traceback" not in answer.body
    assert all(text.isprintable() and text.isascii() for pair in answer.headers for text in pair), answer.headers
    if SECRET in target.partition("?")[0].split("/")[1:2]:
        assert answer.status in (401, 404)
    elif answer.header("Content-Type") != "application/alto-directory+json":
        assert b"private" not in answer.body


def test_the_private_resource_answers_who_has_proven_who_they_are_and_nobody_after_them():
    body = json.dumps(ASKED["endpoint-costs"][0]).encode()
    request = Request("POST", f"/{SECRET}", (("Content-Type", DIRECTORY["resources"][SECRET]["accepts"]),), body)
    told = SERVER.handle(request, CLIENT, next(CLOCK), user="ann")
    assert (told.status, told.header("Cache-Control")) == (200, "private, no-store")
    for peer in (CLIENT, OTHER):
        refused = SERVER.handle(request, peer, next(CLOCK))
        assert (refused.status, refused.header("Cache-Control")) == (401, "no-store")
        assert b"cost" not in refused.body


def test_the_judge_finds_what_is_wrong():
    """It refuses answers of the wrong kind, errors that are not true, and words from within."""
    body = json.dumps(ASKED["some-pids"][0]).encode()
    good = post("some-pids", body)
    tree = json.loads(good.body)
    tree["network-map"]["PID1"]["ipv4"].append("192.0.2.1/24")
    untrue = {"meta": {"code": "E_MISSING_FIELD", "field": "pids"}}
    other = {"meta": {"code": "E_INVALID_FIELD_VALUE", "field": "pids", "value": "PID7"}}
    kind = (("Content-Type", "application/alto-error+json"), ("Cache-Control", "no-store"))
    wrong = [
        Response(200, good.headers, json.dumps(tree).encode()),
        Response(200, (("Content-Type", good.header("Content-Type")),), good.body),
        Response(500, good.headers, good.body),
        Response(400, kind, json.dumps(untrue).encode()),
        Response(400, kind, json.dumps(other).encode()),
        Response(400, kind, b'{"meta":{"code":"E_SYNTAX"}}'),
        Response(400, kind, b'{"meta":{"code":"E_WHATEVER"}}'),
        Response(400, kind, b'{"meta":{"code":"E_INVALID_FIELD_VALUE","field":"pids","value":"Traceback"}}'),
    ]
    for answer in wrong:
        with pytest.raises(Exception, match=r".*"):
            JUDGE.judge("some-pids", body, answer)
    assert isinstance(JUDGE.ird.resources["some-pids"], ResourceEntry)
