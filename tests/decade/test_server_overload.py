"""Ten times the load that a server takes: what is in progress gets to its end, and the rest costs next to nothing."""

from decade_server import HELLO, OCTETS, Bench, code, token, whole

from decade.errors import ErrorCode
from decade.http import Response

MOST = 8


def counting(made, monkeypatch):
    """The tokens that are looked at from now on."""
    seen = []
    verify = made.server._core.gate.tokens.verify

    def look(octets, *more):
        seen.append(octets)
        return verify(octets, *more)

    monkeypatch.setattr(made.server._core.gate.tokens, "verify", look)
    return seen


def test_what_is_in_progress_is_served_and_no_other_token_is_looked_at(monkeypatch):
    made = Bench(max_requests=MOST)
    made.put()
    seen = counting(made, monkeypatch)
    served, sent_away = 0, 0
    for _ in range(10):
        answers = [made.head("GET", HELLO.path, token()) for _ in range(MOST * 10)]
        taken = [answer for answer in answers if answer.status == 200]
        sent_away += sum(code(answer) == ErrorCode.OVERLOADED for answer in answers if answer.status == 503)
        served += sum(whole(answer).body == OCTETS for answer in taken)
    assert (served, sent_away) == (10 * MOST, 90 * MOST)
    assert len(seen) == served
    assert made.server.requests == 0


def test_uploads_that_are_in_progress_end_under_overload():
    made = Bench(max_requests=MOST)
    size = (("Content-Length", "12"),)
    uploads = [made.head("PUT", HELLO.path, token(), headers=size) for _ in range(MOST * 10)]
    taken = [upload for upload in uploads if not isinstance(upload, Response)]
    assert len(taken) == MOST
    assert made.get().status == 503
    for upload in taken:
        assert upload.feed(OCTETS, 1.0) is None
    assert {upload.finish(1.0).status for upload in taken} == {201, 204}
    assert made.get().status == 200
