"""Every reader of the ALTO client and whatever somebody on the way makes of what a server has said.

`make fuzz` runs this with the soak profile. Whatever comes is a value, a finding, or an error of ours.
"""

import asyncio
import contextlib
import json

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import httpx
import pytest
from alto_mutations import TEXTS
from alto_whole import ASKED, whole_server
from hypothesis import given
from hypothesis import strategies as st

from alto import AltoError, DecodeError, media
from alto.client import Client, CostQuery
from alto.client.errors import ServerError, server_error
from alto.client.fetch import Session
from alto.dhcp import access_domain_v4, access_domain_v6
from alto.discovery import discover_cross_domain
from alto.findings import Findings
from alto.http import Request, Response
from alto.ird import parse_directory
from alto.lint.document import lint_document
from alto.multipart import parse
from alto.naptr import DnsAnswer, Naptr, Status, look_up
from alto.pathvector import parse_path_vector
from alto.sse import encode_event
from alto.tips_client import TipsClient, TipsUpdate, Wait
from alto.types import CostType
from alto.updates_client import Subscription, UpdateStreamClient
from interop.alto_client import AltoClient
from interop.alto_discovery import _record

BASE = "https://maps.example.com/"
PEER = ("192.0.2.7", 4711)
SERVER = whole_server(BASE)
MAX_REQUESTS = 60
"""Of one plan: the directory and a few resources, each redirected a few times."""


def ask(request, now=1.0):
    """What the server answers to a client's request; of a stream its first octets."""
    target = request.target.removeprefix(BASE.rstrip("/"))
    answer = SERVER.handle(Request(request.method, target, request.headers, request.body), PEER, now)
    if isinstance(answer, Response):
        return answer
    if not hasattr(answer, "data_to_send"):
        answer.disconnect(now)
        return Response(503, (("Retry-After", "1"),))
    octets = b""
    while piece := answer.data_to_send(now):
        octets += piece
    answer.disconnect(now)
    return Response(answer.status, answer.headers, octets)


def post(name):
    accepts = ENTRIES[name].accepts
    headers = (("Content-Type", accepts), ("Accept-Encoding", "identity"))
    return ask(Request("POST", f"/{name}", headers, json.dumps(ASKED[name][0]).encode()))


DIRECTORY = ask(Request("GET", "/")).body
ENTRIES = parse_directory(json.loads(DIRECTORY), Findings(), BASE).resources
PATHS = post("endpoint-cost-pv")
STREAM = (
    post("updates").body
    + encode_event("application/merge-patch+json,map", b'{"meta":{"vtag":{"tag":"next"}},"network-map":{"PID1":null}}')
    + encode_event("application/json-patch+json,map", b'[{"op":"remove","path":"/network-map/PID2"}]')
)
_SPLICES = [
    b"",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"1e999",
    b"-1",
    b"--",
    b"data:",
    b"event: ",
    b"\\ud800",
    b'"meta":',
    b"9" * 400,
    b"[" * 100,
]


@st.composite
def damaged(draw, octets):
    """The octets after up to four accidents."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(octets)))
        stop = draw(st.integers(start, min(len(octets), start + 40)) | st.just(len(octets)))
        middle = draw(st.sampled_from(_SPLICES) | st.binary(max_size=4) | st.just(octets[start:stop] * 2))
        octets = octets[:start] + middle + octets[stop:]
    return octets


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Content-Type",
                "Location",
                "Retry-After",
                "WWW-Authenticate",
                "ETag",
                "Last-Modified",
                "Vary",
                "Cache-Control",
                "Content-Location",
                "Date",
            ]
        ),
        st.text('/:;=",*abht0123 .-+', max_size=20)
        | st.sampled_from(
            [
                BASE,
                "/tips",
                "//x",
                "http://[",
                "https://maps.example.com:99999/",
                "javascript:1",
                "\x00",
                "é",
                "1e9",
                "-1",
                "9" * 400,
                "Fri, 31 Dec 9999 23:59:59 GMT",
                'Digest realm="a", nonce="b", qop="auth"',
                'Digest a="\\',
                "multipart/related; boundary=",
                'multipart/related; boundary="a',
                media.DIRECTORY,
                media.ERROR,
                "no-store",
            ]
        ),
    ),
    max_size=2,
)
_STATUSES = st.sampled_from([200, 204, 301, 303, 304, 307, 308, 400, 401, 404, 406, 429, 500, 503, 999])


class Meddler:
    """Hands on what the server says, except for some answers."""

    def __init__(self, data, after):
        self.data, self.after, self.requests = data, after, 0

    def answer(self, request, now=1.0):
        assert request.target.startswith(("http://", "https://")), request.target
        self.requests += 1
        assert self.requests <= MAX_REQUESTS
        response = ask(request, now)
        if self.requests <= self.after:
            return response
        body = self.data.draw(st.just(response.body) | damaged(response.body) | TEXTS)
        status = self.data.draw(st.just(response.status) | _STATUSES)
        headers = tuple(self.data.draw(_HEADERS))
        return Response(status, (*headers, *response.headers), body)


def carried(plan, answer):
    """The value of a plan."""
    try:
        request = next(plan)
        while True:
            request = plan.send(answer(request))
    except StopIteration as stop:
        return stop.value


_NUMBERS, _DELAY = CostType("numerical", "routingcost"), CostType("numerical", "delay-ow")
_ENDS = (["ipv4:192.0.2.2"], ["ipv4:192.0.2.34"])
PLANS = {
    "directory": lambda client: client.directory(),
    "map": lambda client: client.network_map(),
    "some": lambda client: client.filtered_network_map(["PID1"]),
    "costs": lambda client: client.cost_map(),
    "some-costs": lambda client: client.filtered_cost_map(["PID1"], ["PID2"], CostQuery(_DELAY, calendared=True)),
    "multi": lambda client: client.filtered_cost_map(query=CostQuery([_NUMBERS, _DELAY], constraints=["[0] le 3"])),
    "ecs": lambda client: client.endpoint_costs(*_ENDS),
    "rank": lambda client: client.rank("192.0.2.2", ["192.0.2.34", "192.0.2.50"]),
    "private": lambda client: client.rank("192.0.2.2", ["192.0.2.34", "192.0.2.50"], private=True),
    "eps": lambda client: client.endpoint_properties(["ipv4:192.0.2.1"], ["network-map.pid"]),
    "props": lambda client: client.property_map(),
    "some-props": lambda client: client.properties(["ipv4:192.0.2.1"]),
    "cdni": lambda client: client.cdni(),
    "paths": lambda client: client.path_vector(*_ENDS),
}


@pytest.mark.parametrize("name", PLANS)
def test_our_client_takes_all_that_our_server_says_strictly(name):
    assert carried(PLANS[name](Client(BASE)), ask) is not None


@given(st.sampled_from(sorted(PLANS)), st.booleans(), st.integers(0, 2), st.data())
def test_a_plan_comes_to_a_value_or_an_error_of_ours_whoever_meddles(name, strict, after, data):
    client = Client(BASE, strict=strict)
    with contextlib.suppress(AltoError):
        carried(PLANS[name](client), Meddler(data, after).answer)
    assert len(client.findings) <= 10_000


def events_of(octets, cuts):
    """What the client makes of a stream that comes in pieces."""
    client = UpdateStreamClient(f"{BASE}updates", {"map": Subscription("network-map")})
    client.receive_response(Response(200, (("Content-Type", media.EVENT_STREAM),)), 0.0)
    start = 0
    for cut in [*sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]:
        client.receive_data(octets[start:cut], 0.0)
        start = cut
    client.receive_eof(1.0)
    found = []
    while (event := client.next_event()) is not None:
        found.append(event)
    assert client.get_timer() is None
    return found


def test_the_stream_is_followed_to_its_end():
    kinds = [type(event).__name__ for event in events_of(STREAM, [])]
    assert kinds == ["StreamOpened", "ResourceUpdated", "ResourceUpdated", "ResourceUpdated", "StreamEnded"]


@given(damaged(STREAM) | st.binary(max_size=80), st.lists(st.integers(0, 5000), max_size=5))
def test_a_stream_becomes_the_same_events_in_whatever_pieces_it_comes(octets, cuts):
    whole = [repr(event) for event in events_of(octets, [])]
    assert [repr(event) for event in events_of(octets, cuts)] == whole


@given(damaged(PATHS.body) | damaged(PATHS.body.replace(b"\r\n", b"\n")), st.booleans())
def test_path_vectors_are_read_or_refused(octets, strict):
    kind = PATHS.header("Content-Type")
    with contextlib.suppress(DecodeError):
        parse(kind, octets, Findings(strict=strict))
        parse_path_vector(kind, octets, Findings(strict=strict), entry=ENTRIES["endpoint-cost-pv"])


@given(st.text("multipart/related;boundary=\"'-_ \\type", max_size=40), damaged(PATHS.body), st.booleans())
def test_any_content_type_of_a_message_in_parts_is_read_or_refused(kind, octets, strict):
    with contextlib.suppress(DecodeError):
        parse(f"multipart/related;{kind}", octets, Findings(strict=strict))


@given(st.booleans(), st.integers(0, 3), st.data())
def test_tips_come_to_updates_or_waits_or_an_error_of_ours_whoever_meddles(strict, after, data):
    tips = TipsClient(Session(), ENTRIES["tips"], ENTRIES["network-map"], strict=strict)
    meddler = Meddler(data, after)
    for at in range(4):
        try:
            step = carried(tips.advance(float(at)), lambda request, at=at: meddler.answer(request, 1.0 + at))
        except AltoError:
            continue
        assert isinstance(step, TipsUpdate) or (isinstance(step, Wait) and 0 <= step.seconds <= 3600)


@given(st.sampled_from([DIRECTORY, STREAM, PATHS.body]).flatmap(damaged), st.sampled_from([None, media.ERROR, ""]))
def test_the_linter_finds_and_raises_nothing(octets, kind):
    assert all(str(finding) for finding in lint_document(octets, kind))


@given(_STATUSES, _HEADERS, damaged(b'{"meta":{"code":"E_INVALID_FIELD_VALUE","field":"a/b","value":"c"}}') | TEXTS)
def test_any_error_response_is_an_error(status, headers, body):
    error = server_error(Response(status, (*headers, ("Content-Type", media.ERROR)), body), BASE)
    assert isinstance(error, ServerError)
    assert error.status == status
    assert str(error)


_LABELS = st.sampled_from(
    ["example.net", "a.example", "B.example.", ".", "", "x" * 64, "a..b", "\x00", "ü.example", "a" * 300]
)
_RECORDS = st.builds(
    Naptr,
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.sampled_from(["u", "U", "", "s", "a", "uu", "\xff"]),
    st.sampled_from(["ALTO:https", "alto:HTTPS:http", "ALTO", "", "ALTO:", ":", "x" * 300]) | st.text(max_size=8),
    st.sampled_from(
        [
            "!.*!https://a.example/ird!",
            "!.*!http://a/!",
            "!^.*$!https://a/!",
            "!.*!\\1!i",
            "",
            "!!!",
            "!.*!javascript:1!",
        ]
    )
    | st.text("!.*ahtps:/\\", max_size=20),
    _LABELS,
)
_ANSWERS = st.builds(
    DnsAnswer,
    st.sampled_from(Status),
    st.lists(_RECORDS, max_size=4).map(tuple),
    st.booleans(),
    st.none() | st.sampled_from([0.0, -1.0, 5.0, 2.0**32]),
)


@given(st.lists(_ANSWERS, min_size=1, max_size=5), st.sampled_from(["ALTO:https", "ALTO:https:http"]), st.booleans())
def test_whatever_the_dns_says_a_lookup_ends_with_uris_that_are_some(answers, service, require_dnssec):
    for plan in (
        look_up("example.net", service, require_dnssec=require_dnssec),
        discover_cross_domain("192.0.2.1", service, retries=2, require_dnssec=require_dnssec),
    ):
        asked = 0

        def answer(question):
            nonlocal asked
            asked += 1
            assert question.name.endswith(".")
            assert asked <= 200
            return answers[asked % len(answers)]

        result = carried(plan, answer)
        assert all(httpx.URL(found.uri).scheme in ("http", "https") for found in result.uris)
        assert result.retry_after is None or 0 < result.retry_after <= 10_800


_RDATA = b"\x00\x64\x00\x0a\x01u\x0aALTO:https\x1e!.*!https://alto.example/ird!!\x00"


@given(damaged(_RDATA) | st.binary(max_size=60))
def test_any_record_of_the_dns_is_read_by_dnspython_or_by_us_or_refused(octets):
    try:
        rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.NAPTR, octets, 0, len(octets))
    except (dns.exception.DNSException, ValueError, IndexError):
        return
    carried(look_up("example.net", "ALTO:https"), lambda question: DnsAnswer(Status.ANSWERED, (_record(rdata),)))


_V4 = b"\x63\x82\x53\x63\x35\x01\x05\xd5\x0d\x07example\x03net\x00\x0f\x0bexample.org\xff\0\0"
_V6 = b"\x00\x39\x00\x0d\x07example\x03net\x00\x00\x17\x00\x10" + bytes(16)


@given(damaged(_V4) | damaged(_V6) | st.binary(max_size=80))
def test_any_dhcp_options_have_a_domain_or_none_or_are_refused(octets):
    for read in (access_domain_v4, access_domain_v6):
        try:
            domain = read(octets)
        except DecodeError:
            continue
        assert domain is None or 0 < len(domain) <= 255


@given(st.data())
def test_over_http_too_what_comes_is_a_directory_or_an_error_of_ours(data):
    """Codings that are wrong, header fields that no server sends: httpx has its own say."""
    body = data.draw(st.just(DIRECTORY) | damaged(DIRECTORY[:300]) | st.binary(max_size=40))
    coding = data.draw(
        st.sampled_from([[], [(b"Content-Encoding", b"gzip")], [(b"content-encoding", b"br, deflate, x")]])
    )
    fields = data.draw(_HEADERS | st.just([]))
    headers = [(name.encode(), value.encode("latin-1", "ignore")) for name, value in fields if name != "Retry-After"]
    status = data.draw(st.just(200) | _STATUSES)
    headers += [*coding, (b"Content-Type", media.DIRECTORY.encode())]
    asked = 0

    def handle(request):
        nonlocal asked
        asked += 1
        assert asked <= MAX_REQUESTS
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def main():
        async with AltoClient(BASE, verify=False, strict=False, transport=httpx.MockTransport(handle)) as alto:
            await alto.directory()

    with contextlib.suppress(AltoError):
        asyncio.run(main())
