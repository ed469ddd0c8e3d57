"""Whatever is asked of a server with every extension of storage, it answers, and holds nothing afterwards."""

import base64

from decade_messages import MESSAGES
from decade_server import BOB, HELLO, OCTETS, Bench, bearer, token, whole
from hypothesis import given
from hypothesis import strategies as st

from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, Access, ResourcePolicy, WhenFull, encode_message
from decade.names import name_of
from decade.settings import LOGS, Extension
from decade.tokens import TokenFeature
from decade.waiting import settle

ON = LOGS | {
    *(Extension.PUBLIC, Extension.DT, Extension.EVICT_OWN, Extension.CHALLENGE, Extension.GUARANTEES),
    TokenFeature.COLLECTIONS,
}
POLICY = ResourcePolicy(weight=1, storage=60, access=Access.PUBLIC, when_full=WhenFull.EVICT_OWN)
NAMES = [HELLO, name_of(b""), name_of(b"x" * 50), name_of(b"other")]
BODIES = [OCTETS, b"", b"x" * 50, b"other"]
PATHS = st.sampled_from(
    [
        *(name.path for name in NAMES),
        *(
            f"/decade/v1/{path}"
            for path in (
                "access-log",
                "distribution-log",
                "challenges",
                "claims",
                "objects",
                "status",
                f"objects/sha-256/{HELLO.text}",
            )
        ),
    ]
)
KEYS = st.sampled_from([token(), token(BOB), token(uses=1), token(amount=20), token(storage=20), b"", None])
QUERY = (
    st.just("")
    | st.text("fromtcursdt=&%?0123456789AQ_-", max_size=20)
    | KEYS.filter(bool).map(lambda key: "dt=" + base64.urlsafe_b64encode(key).rstrip(b"=").decode())
)
BODY = (
    st.sampled_from(BODIES)
    | st.binary(max_size=60)
    | st.sampled_from(["challenge-request", "claim", "resource-policy"]).flatmap(MESSAGES.get).map(encode_message)
)
ASKED = st.tuples(
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"]),
    PATHS,
    QUERY,
    KEYS,
    BODY,
    st.sampled_from(["cut", "all", "abort"]),
    st.sampled_from([("192.0.2.1", 1), ("::1", 1), ("", 0), None]),
)


@given(st.lists(ASKED, max_size=8))
def test_a_server_answers_whatever_is_asked_and_keeps_its_books(requests):
    made = Bench(policy=POLICY, extensions=ON)
    for octets in BODIES:
        made.put(octets, token(BOB))
    for method, path, query, key, body, end, peer in requests:
        made.now += 1
        headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE), *(bearer(key) if key else ()))
        target = f"{path}?{query}" if query else path
        answer = settle(made.server.handle(Request(method, target, headers), peer, made.now), made.now)
        if isinstance(answer, Response):
            if end == "abort" and not isinstance(answer.body, bytes):
                answer.body.close(made.now)
            else:
                answer = whole(answer, made.now)
                assert isinstance(answer.body, bytes)
        elif end == "abort":
            answer.abort(made.now)
        else:
            sent = body[: len(body) // 2] if end == "cut" else body
            answer = answer.feed(sent, made.now) or settle(answer.finish(made.now), made.now)
        assert answer is None or not isinstance(answer, Response) or 200 <= answer.status < 600
        assert made.server.requests == 0
        rows = made.store.page("alice", b"", 99)
        holding = made.quotas.holding(("alice",))
        assert (holding.stored, holding.reserved, holding.objects) == (sum(row.size for row in rows), 0, len(rows))
        assert holding.stored <= 60
