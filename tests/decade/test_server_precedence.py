"""The order in which a server refuses, and that what it refuses leaves nothing."""

import attrs
import pytest
from decade_server import ALL, APP, BOB, HELLO, OCTETS, PEER, Bench, bearer, code, token
from decade_tokens import MAC, NOW

from decade.cose import HmacKey
from decade.errors import STATUS, ErrorCode
from decade.http import Request
from decade.messages import MEDIA_TYPE, ResourcePolicy, Revocation
from decade.names import name_of
from decade.tokens import Everything, Object, Operation

ABSENT = name_of(b"nowhere")
STRANGER = HmacKey(bytes(32), b"stranger")
OLD = {"iat": NOW - 7200, "exp": NOW - 3600}
SPENT = token(uses=1, cti=bytes(16))
REVOKED = token(cti=b"r" * 16)
GET_ALL = ((Everything(), Operation.GET),)
PUT_ALL = ((Everything(), Operation.PUT),)


def bench(**more):
    """A server with an object, a token that is used up, and one that is revoked."""
    made = Bench(**more)
    assert made.put().status == 201
    assert made.get(key=SPENT).status == 200
    assert made.control("POST", "revocations", Revocation(cti=(b"r" * 16,))).status == 204
    return made


# Each step: what makes a GET fail at it. Whoever fails at several is told the first.
FAULTS = [
    ("name", ErrorCode.DIGEST_UNSUPPORTED, {"target": "/.well-known/ni/sha-256-32/f4OxZQ"}),
    ("method", ErrorCode.MALFORMED, {"method": "POST"}),
    ("overload", ErrorCode.OVERLOADED, {"overload": True}),
    ("no token", ErrorCode.TOKEN_MISSING, {"key": None}),
    ("no base64", ErrorCode.TOKEN_MALFORMED, {"authorization": "Bearer ="}),
    ("no cbor", ErrorCode.TOKEN_MALFORMED, {"key": b"\xff"}),
    ("stranger", ErrorCode.TOKEN_BAD_SIGNATURE, {"key": token(STRANGER, scope=PUT_ALL)}),
    ("audience", ErrorCode.WRONG_AUDIENCE, {"key": token(aud=("https://sa.example",), scope=PUT_ALL, **OLD)}),
    ("expired", ErrorCode.TOKEN_EXPIRED, {"key": token(cti=b"r" * 16, scope=PUT_ALL, **OLD)}),
    ("early", ErrorCode.TOKEN_NOT_YET_VALID, {"key": token(iat=NOW + 600, cti=b"r" * 16)}),
    ("revoked", ErrorCode.TOKEN_REVOKED, {"key": token(cti=b"r" * 16, scope=PUT_ALL)}),
    ("used up", ErrorCode.TOKEN_USED_UP, {"key": token(cti=bytes(16), uses=1, scope=PUT_ALL)}),
    ("operation", ErrorCode.OP_NOT_PERMITTED, {"key": token(scope=PUT_ALL), "policy": True}),
    (
        "object",
        ErrorCode.OBJECT_NOT_PERMITTED,
        {"key": token(scope=((Object(name_of(b"1")), Operation.GET),)), "policy": True},
    ),
    ("provider", ErrorCode.LEGAL_BLOCK, {"policy": True}),
    ("existence", ErrorCode.NOT_FOUND, {"name": ABSENT}),
    ("range", ErrorCode.RANGE_NOT_SATISFIABLE, {"headers": (("Range", "bytes=99-"),), "key": token(amount=0)}),
    ("amount", ErrorCode.AMOUNT_EXHAUSTED, {"key": token(amount=len(OCTETS) - 1, connections=1), "busy": True}),
    ("connections", ErrorCode.TOO_MANY_CONNECTIONS, {"busy": True}),
]


def busy_bench(fault):
    policy = ResourcePolicy(weight=1, connections=1) if fault.get("busy") else None
    local = (lambda question, verified: ErrorCode.LEGAL_BLOCK) if fault.get("policy") else None
    made = Bench(policy=policy)
    made.put()
    made.get(key=SPENT)
    made.control("POST", "revocations", Revocation(cti=(b"r" * 16,)))
    if fault.get("busy"):
        assert made.head("GET", HELLO.path, token()).status == 200
    if fault.get("overload"):
        made.server._core.gate.is_overloaded = lambda: True
    made.server._core.gate.local_policy = local
    return made


def ask(made, fault):
    key = fault.get("key", token()) if "key" in fault else token()
    headers = fault.get("headers", ())
    if "authorization" in fault:
        key, headers = None, (*headers, ("Authorization", fault["authorization"]))
    target = fault.get("target", fault.get("name", HELLO).path)
    return made.head(fault.get("method", "GET"), target, key, headers=headers)


@pytest.mark.parametrize(("fault", "wanted"), [pytest.param(fault, wanted, id=name) for name, wanted, fault in FAULTS])
def test_each_step_refuses_with_its_code_and_leaves_nothing(fault, wanted):
    made = busy_bench(fault)
    before = made.state()
    answer = ask(made, fault)
    assert code(answer) == wanted
    assert answer.status == (405 if fault.get("method") else STATUS[wanted])
    assert answer.header("Cache-Control") == "no-store"
    assert made.state() == before


@pytest.mark.parametrize("at", range(len(FAULTS) - 1))
def test_an_earlier_step_hides_a_later_one(at):
    _, wanted, fault = FAULTS[at]
    for _, _, later in FAULTS[at + 1 :]:
        both = later | fault
        # There is one token: the earlier fault's.
        if "authorization" in later and "key" in fault:
            del both["authorization"]
        assert code(ask(busy_bench(both), both)) == wanted


def test_nobody_learns_whether_an_object_is_held_who_may_not_read_it():
    made = bench()
    narrow = token(scope=((Object(name_of(b"other")), Operation.GET),), cti=b"n" * 16)
    for method in ("GET", "HEAD", "DELETE"):
        for key in (None, b"\xff", token(STRANGER), token(scope=PUT_ALL), narrow, SPENT, REVOKED, token(**OLD)):
            assert made.head(method, HELLO.path, key) == made.head(method, ABSENT.path, key)


def test_an_account_that_does_not_hold_an_object_cannot_tell_that_another_one_does():
    made = bench()
    assert made.get(key=token(BOB)) == made.get(ABSENT, key=token(BOB))
    assert made.put(key=token(BOB)).status == 201
    assert made.quotas.holding(("bob",)).stored == len(OCTETS)


def test_a_use_is_not_spent_on_what_fails():
    made = bench()
    once = token(uses=1)
    for method, target, headers in (
        ("GET", ABSENT.path, ()),
        ("GET", HELLO.path, (("Range", "bytes=99-"),)),
        ("GET", HELLO.path, (("If-Match", '"x"'),)),
        ("HEAD", HELLO.path, ()),
        ("PUT", HELLO.path, (("Content-Length", "1"), ("If-None-Match", "*"))),
        ("GET", "/decade/v1/policy/none", ()),
    ):
        made.head(method, target, once, headers=headers)
    assert made.get(key=once).status == 200
    assert code(made.get(key=once)) == ErrorCode.TOKEN_USED_UP


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 411),
        ((("Content-Length", "12"), ("Transfer-Encoding", "chunked")), 411),
        ((("Content-Length", "12"), ("Content-Encoding", "gzip")), 415),
        ((("Content-Length", "12"), ("Content-Range", "bytes 0-11/12")), 400),
        ((("Content-Length", "x"),), 400),
        ((("Content-Length", "12"), ("Content-Type", "text")), 400),
        ((("Content-Length", "12"), ("Decade-Attrs", "exp=?")), 400),
    ],
)
def test_the_head_of_a_put_is_looked_at_before_its_token(headers, status):
    assert Bench().head("PUT", HELLO.path, None, headers=headers).status == status


@pytest.mark.parametrize("field", ["col=(:aGk=:)", f"exp={NOW}", f"exp={NOW + 10**9}"])
def test_attributes_that_are_not_permitted_are_refused_behind_the_token(field):
    made = bench()
    before = made.state()
    headers = (("Decade-Attrs", field),)
    assert code(made.ask("PUT", HELLO.path, None, OCTETS, headers=headers)) == ErrorCode.TOKEN_MISSING
    assert code(made.put(headers=headers)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.state() == before


@pytest.mark.parametrize(
    ("size", "settings", "policy", "key", "wanted"),
    [
        (9, {"limits": {"max_object": 8}}, {"storage": 1}, {}, ErrorCode.TOO_LARGE),
        (9, {"limits": {"min_object": 10}}, {"storage": 1}, {}, ErrorCode.TOO_SMALL),
        (9, {}, {"storage": 8}, {"storage": 1}, ErrorCode.STORAGE_QUOTA),
        (9, {}, {"connections": 0}, {"storage": 8, "amount": 1}, ErrorCode.STORAGE_QUOTA),
        (9, {}, {"connections": 0}, {"amount": 8}, ErrorCode.AMOUNT_EXHAUSTED),
        (9, {}, {"connections": 0}, {}, ErrorCode.TOO_MANY_CONNECTIONS),
        (9, {}, {"ceiling_upload": 0}, {}, ErrorCode.RATE_LIMITED),
    ],
)
def test_a_put_is_admitted_in_the_order_of_size_storage_amount_connections_rate(size, settings, policy, key, wanted):
    made = Bench(policy=ResourcePolicy(weight=1, **policy), **settings)
    before = made.state()
    answer = made.head("PUT", name_of(bytes(size)).path, token(**key), headers=(("Content-Length", str(size)),))
    assert code(answer) == wanted
    assert made.state() == before


def test_a_message_in_another_form_is_refused_before_its_token():
    made = Bench()
    for headers, status in (
        ((), 411),
        ((("Content-Length", "1"),), 415),
        ((("Content-Length", "1"), ("Content-Type", "text/html")), 415),
        ((("Content-Length", "1"), ("Content-Type", MEDIA_TYPE), ("Content-Encoding", "gzip")), 415),
    ):
        assert made.head("POST", "/decade/v1/revocations", None, headers=headers).status == status


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/decade/v1/", 404),
        ("GET", "/decade/v1/policy/a/b", 404),
        ("GET", "/decade/v2/status", 400),
        ("GET", "/.well-known/ni/md5/abc", 422),
        ("GET", "/.well-known/ni/sha-256/abc", 400),
        ("GET", "/decade/v1/objects/sha-256/abc", 400),
        ("GET", "/decade/v1/policy/%ff", 400),
        ("GET", "/decade/v1/policy/" + "a" * 65, 400),
        ("GET", "/decade/v1/objects?cursor=@", 400),
        ("PUT", "/decade/v1/status", 405),
        ("GET", "/decade/v1/revocations", 405),
        ("POST", "/.well-known/decade", 405),
        ("get", HELLO.path, 405),
    ],
)
def test_what_is_not_there_is_told_to_everybody(method, target, status):
    answer = Bench().head(method, target)
    assert answer.status == status
    assert (answer.header("Allow") is not None) is (status == 405)


def test_under_overload_objects_are_at_a_sibling():
    made = Bench(max_requests=1, siblings=("https://sc.example",))
    made.put()
    first = made.head("GET", HELLO.path, token())
    for method in ("GET", "HEAD"):
        answer = made.head(method, HELLO.path + "?ct=text/html", b"no token at all")
        assert answer.status == 307
        assert answer.header("Location") == f"https://sc.example{HELLO.path}?ct=text/html"
    assert made.head("DELETE", HELLO.path, token()).status == 503
    assert made.head("GET", "/decade/v1/status", token()).status == 503
    assert made.head("GET", "/.well-known/decade").status == 200
    first.body.close(2.0)
    assert made.get().status == 200


def test_a_client_waits_a_time_that_is_not_that_of_all_others():
    made = Bench(max_requests=0)
    waits = set()
    for octet in (0, 128, 255):
        made.server._random_bytes = lambda size, octet=octet: bytes((octet,)) * size
        answer = made.head("DELETE", HELLO.path, token())
        assert code(answer) == ErrorCode.OVERLOADED
        waits.add(answer.body)
    assert len(waits) == 3


def test_an_address_with_many_bad_tokens_waits_before_a_signature_is_looked_at():
    made = bench()
    answers = [code(made.get(key=token(STRANGER))) for _ in range(200)]
    assert answers[0] == ErrorCode.TOKEN_BAD_SIGNATURE
    assert answers[-1] == ErrorCode.RATE_LIMITED
    other = made.server.handle(Request("GET", HELLO.path, bearer(token())), ("192.0.2.2", 1), made.now)
    assert other.status == 200
    assert PEER[0] != "192.0.2.2"
    made.now += 60
    assert made.get().status == 200


def test_a_key_of_an_application_is_charged_there_and_does_not_change_policies():
    made = Bench()
    assert made.put(key=token(APP)).status == 201
    assert made.quotas.holding(("alice", "live")).stored == len(OCTETS)
    policy = ResourcePolicy(weight=9)
    for path in ("policy", "policy/live", "policy/other"):
        assert made.control("PUT", path, policy, token(APP)).status == 403
    assert made.control("GET", "policy/live", None, token(APP)) == ResourcePolicy(weight=1)
    assert made.control("GET", "policy", None, token(APP)).status == 403


def test_a_key_that_is_taken_away_permits_nothing_more():
    made = bench()
    key = token()
    assert made.get(key=key).status == 200
    del made.keys[MAC.kid]
    assert code(made.get(key=key)) == ErrorCode.TOKEN_BAD_SIGNATURE


def test_a_clock_that_is_set_back_revives_no_token():
    made = bench()
    made.now = 10_000.0
    assert code(made.get(key=token())) == ErrorCode.TOKEN_EXPIRED
    assert code(Bench(ledger=made.ledger).get(key=token())) == ErrorCode.TOKEN_EXPIRED


def test_settings_name_origins():
    for server in ("sb.example", "https://sb.example/", "https://sb.example/x", "https://SB.example"):
        with pytest.raises(ValueError, match="origin"):
            attrs.evolve(Bench().server._core.settings, server=server)


def test_all_is_everything():
    assert isinstance(ALL[0][0], Everything)


@pytest.mark.parametrize(
    "path",
    ["tokens", "challenges", "claims", "access-log", "distribution-log", "transfers", "transfers/" + "0" * 32],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_the_resources_of_an_extension_that_is_off_are_not_there(path, method):
    """Section 5.1: with or without a token, whatever the method and the length."""
    made = bench()
    for key in (None, token()):
        assert code(made.ask(method, f"/decade/v1/{path}", key)) == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("query", ["x=%ff", 'x="', "\xe9", "dt=" + "a" * 5000])
def test_a_query_of_an_object_is_ignored_whatever_it_is(query):
    """Section 2.2"""
    made = bench(siblings=("https://sc.example",))
    assert made.ask("GET", f"{HELLO.path}?{query}", token()).body == OCTETS


def test_a_redirect_has_no_characters_that_no_uri_has():
    made = Bench(max_requests=0, siblings=("https://sc.example",))
    answer = made.head("GET", HELLO.path + '?x="\r\nSet-Cookie: a=\xe9%20')
    assert answer.header("Location") == f"https://sc.example{HELLO.path}?x=%22%0D%0ASet-Cookie:%20a=%E9%20"
