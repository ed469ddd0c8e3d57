"""What a server tells an account of who has read its objects, when its provider has logs on."""

import pytest
from decade_server import ALL, APP, BOB, HELLO, OCTETS, Bench, code, token, whole
from decade_tokens import NOW

from decade.errors import ErrorCode, StoreError
from decade.journal import PERIOD, MemoryJournal, hash_of_token
from decade.messages import AccessLog, DistributionLog, TokenSeen
from decade.scope import Object, Operation
from decade.settings import LOGS, MIN_RETENTION, Extension, Settings

CTI = bytes(range(16))


def bench(**more):
    made = Bench(extensions=LOGS, **more)
    made.put()
    return made


def test_reads_are_told_by_a_hash_of_the_token():
    made = bench()
    key = token(cti=CTI)
    for _ in range(2):
        made.get(key=key)
    made.get(key=token(), headers=(("Range", "bytes=0-4"),))
    log = made.control("GET", "access-log")
    assert isinstance(log, AccessLog)
    assert (log.frame.end, log.cursor) == (NOW + 1, None)
    mine, other = sorted(log.entries, key=lambda entry: -entry.reads)
    assert (mine.name, mine.token, mine.reads, mine.octets) == (HELLO, hash_of_token(CTI), 2, 2 * len(OCTETS))
    assert (other.reads, other.octets, other.last_read) == (1, 5, NOW + 1)
    assert CTI not in made.ask("GET", "/decade/v1/access-log", token()).body


def test_what_was_not_sent_is_not_in_the_log():
    made = bench()
    made.ask("HEAD", HELLO.path, token())
    made.get(headers=(("If-None-Match", HELLO.etag),))
    made.get(key=b"")
    made.head("GET", HELLO.path, token()).body.close(1.0)
    assert made.control("GET", "access-log").entries == ()


def test_an_account_sees_its_own_log_only():
    made = bench()
    made.get()
    assert len(made.control("GET", "access-log", key=token(APP)).entries) == 1
    assert made.control("GET", "access-log", key=token(BOB)).entries == ()


def test_the_time_frame_and_the_page_are_in_the_query():
    made = bench()
    key = token(exp=NOW + 9000)
    made.get()
    made.now += 2 * PERIOD
    made.get(key=token(cti=CTI, exp=NOW + 9000))
    late = made.control("GET", f"access-log?from={NOW + 5}", key=key)
    assert [entry.token for entry in late.entries] == [hash_of_token(CTI)]
    assert late.frame.start == NOW + 5
    early = made.control("GET", f"access-log?to={NOW + 5}", key=key)
    assert len(early.entries) == 1
    assert early.frame.end == NOW + 5
    for query in ("from=x", "from=2&to=1", "cursor=AAAA", "cursor=$"):
        assert code(made.control("GET", f"access-log?{query}", key=key)) == ErrorCode.MALFORMED


def test_logs_need_a_token_for_the_account_that_allows_them():
    made = bench()
    for path in ("access-log", "distribution-log"):
        assert code(made.ask("GET", f"/decade/v1/{path}")) == ErrorCode.TOKEN_MISSING
        assert (
            code(made.control("GET", path, key=token(scope=((ALL[0][0], Operation.STATUS),))))
            == ErrorCode.OP_NOT_PERMITTED
        )
        only = token(scope=((Object(HELLO), Operation.ACCESS_LOG),))
        assert code(made.control("GET", path, key=only)) == ErrorCode.OBJECT_NOT_PERMITTED
        once = token(uses=1)
        assert made.ask("HEAD", f"/decade/v1/{path}", once).status == 200
        assert not hasattr(made.control("GET", path, key=once), "status")
        assert code(made.control("GET", path, key=once)) == ErrorCode.TOKEN_USED_UP
        assert made.ask("PUT", f"/decade/v1/{path}", token(), b"").status == 405


@pytest.mark.parametrize("extension", [Extension.ACCESS_LOG, Extension.DISTRIBUTION_LOG])
def test_a_server_without_a_log_has_no_such_resource(extension):
    made = Bench(extensions=LOGS - {extension})
    for key in (None, token()):
        assert code(made.ask("GET", f"/decade/v1/{extension}", key)) == ErrorCode.NOT_FOUND
    assert extension not in made.server._core.settings.info.features


def test_where_objects_went_is_in_the_distribution_log():
    made = bench()
    made.get(key=token(cti=CTI))
    made.server.logs.add_sent("alice", HELLO, "https://sa.example", NOW + 1)
    log = made.control("GET", "distribution-log")
    assert isinstance(log, DistributionLog)
    assert [(sent.name, sent.server, sent.time) for sent in log.servers] == [(HELLO, "https://sa.example", NOW + 1)]
    assert log.cursor == b"c"
    log = made.control("GET", "distribution-log?cursor=Yw")
    assert [sent.client for sent in log.clients] == [f"cti:{hash_of_token(CTI).hex()}"]


def test_an_object_tells_which_tokens_were_used():
    made = bench()
    path = f"objects/sha-256/{HELLO.text}"
    for _ in range(3):
        made.get(key=token(cti=CTI))
    seen = (TokenSeen(token=hash_of_token(CTI), reads=3),)
    assert made.control("GET", path).access.tokens == seen
    assert made.control("GET", "objects").objects[0].access.tokens is None
    made = Bench(extensions=LOGS - {Extension.TOKENS_SEEN})
    made.put()
    made.get()
    assert made.control("GET", path).access.tokens is None


def test_what_is_older_than_the_retention_is_forgotten():
    made = bench(log_retention=MIN_RETENTION)
    made.get()
    made.now += MIN_RETENTION + 2
    assert made.control("GET", "access-log", key=token(exp=NOW + 9000)).entries == ()
    assert made.server.get_timer() <= made.now
    made.server.handle_timer(made.now)
    assert made.server.logs._journal._logs == {}
    with pytest.raises(ValueError, match="3600 s at least"):
        Settings(server="https://sb.example", log_retention=5)


class Broken(MemoryJournal):
    waits = True

    def whole_from(self, *asked):
        raise StoreError("no disk")

    seen = reads = whole_from


def test_a_log_that_fails_fails_nothing_else():
    made = bench(journal=Broken())
    assert whole(made.get()).body == OCTETS
    assert code(made.control("GET", "access-log")) == ErrorCode.OVERLOADED
    assert made.control("GET", f"objects/sha-256/{HELLO.text}").status == 503
    assert made.server.requests == 0
