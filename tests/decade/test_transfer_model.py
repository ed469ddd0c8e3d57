"""Remote servers that do anything at any time: nothing raises, nothing is stored but the object, nothing stays held."""

from decade_server import HELLO, OCTETS, token
from decade_tokens import ACCOUNT
from decade_transfers import SA, answer, bench, ordered, request
from decade_waiting import SlowLedger, SlowQuotas, SlowStore
from hypothesis import given
from hypothesis import strategies as st

from decade.messages import Direction
from decade.names import name_of
from decade.transfer_states import Trouble
from decade.waiting import Waiting, settle

NAMES = (HELLO, name_of(b"other"), name_of(b""))
_STATUS = st.sampled_from([200, 200, 200, 206, 204, 201, 302, 307, 401, 404, 412, 416, 429, 500, 503, 999])
_FIELDS = st.lists(
    st.sampled_from(
        [
            ("Content-Length", "12"),
            ("Content-Length", "5"),
            ("Content-Length", "0"),
            ("Content-Length", "x"),
            ("Content-Range", "bytes 5-11/12"),
            ("Content-Range", "bytes 0-11/12"),
            ("ETag", '"x"'),
            ("Location", "/y"),
            ("Location", "https://sc.example/z"),
            ("Location", "https://sb.example/z"),
            ("Location", "gopher://x"),
            ("Retry-After", "3"),
            ("Content-Encoding", "br"),
        ]
    ),
    max_size=4,
)
_BODY = st.sampled_from([b"", OCTETS, OCTETS[:5], OCTETS[5:], b"other", b"x" * 12, OCTETS + b"!"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), _STATUS, _FIELDS, _BODY, st.booleans()),
        st.tuples(st.just("data"), _BODY),
        st.tuples(st.just("end")),
        st.tuples(st.just("read"), st.integers(1, 20)),
        st.tuples(st.just("fail"), st.sampled_from(Trouble)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 20.0, 100.0])),
        st.tuples(st.just("cancel")),
        st.tuples(st.just("order"), st.sampled_from(Direction), st.integers(1, 3)),
        st.tuples(st.just("connected")),
    ),
    max_size=40,
)


def act(made, open_, step, now):
    """One step of a driver and its remote servers."""
    transfers = made.server.transfers
    exchange = open_[-1] if open_ else None
    match step:
        case ("order", direction, count):
            assert ordered(made, request(*NAMES[:count], direction=direction)).status in (202, 429)
        case ("cancel",):
            for transfer in list(transfers._transfers.values())[:1]:
                transfers.cancel(transfer, now)
        case ("wait", _):
            transfers.handle_timer(now)
        case _ if exchange is None:
            return
        case ("answer", status, fields, body, ends):
            following = settle(exchange.receive_head(answer(status, **dict(fields)), now), now)
            open_[-1:] = [] if following is None else [following]
            if following is not None and exchange.is_open:
                following.receive_data(body, now)
                if ends:
                    settle(following.receive_end(now), now)
        case ("data", body):
            exchange.receive_data(body, now)
        case ("end",):
            settle(exchange.receive_end(now), now)
        case ("read", size):
            exchange.read(size, now)
        case ("fail", trouble):
            exchange.fail(trouble, now)
        case ("connected",):
            exchange.connected(now)


@given(_STEPS)
def test_remote_servers_do_what_they_like(steps):
    made = bench(transfers=2)
    made.put(b"other")
    now, open_ = 1.0, []
    ordered(made, request(*NAMES[:2]))
    for step in steps:
        now += step[1] if step[0] == "wait" else 0.01
        act(made, open_, step, now)
        open_[:] = [exchange for exchange in open_ if exchange.is_open]
        while (following := settle(made.server.transfers.next_request(now), now)) is not None:
            open_.append(following)
        holding = made.quotas.holding((ACCOUNT,))
        rows = made.store.page(ACCOUNT, b"", 100)
        assert holding.stored == sum(row.size for row in rows)
        assert holding.objects == len(rows)
        assert made.server.requests == made.server.transfers.running <= 2
    finish(made, now)


@given(_STEPS, st.lists(st.integers(0, 7), min_size=40, max_size=40))
def test_they_do_while_our_own_store_takes_its_time(steps, turns):
    made = bench(transfers=3, store=SlowStore(), ledger=SlowLedger(), quotas=SlowQuotas())
    made.put(b"other")
    now, open_, waiting = 1.0, [], []

    def take(answer):
        if isinstance(answer, Waiting):
            waiting.append(answer)
        elif answer is not None:
            open_.append(answer)

    def go_on():
        one = waiting.pop(0)
        one.run()
        take(one.resume(now))

    ordered(made, request(*NAMES), token(amount=100, uses=9))
    for step, turn in zip(steps, turns, strict=False):
        now += step[1] if step[0] == "wait" else 0.01
        exchange = open_.pop() if open_ else None
        if step[0] == "answer" and exchange is not None:
            take(exchange.receive_head(answer(step[1], **dict(step[2])), now))
        elif step[0] == "end" and exchange is not None:
            take(exchange.receive_end(now))
        else:
            kept = [] if exchange is None else [exchange]
            act(made, kept, step, now)
            open_ += kept
        open_[:] = [exchange for exchange in open_ if exchange.is_open]
        for _ in range(min(turn, len(waiting))):
            go_on()
        take(made.server.transfers.next_request(now))
        holding = made.quotas.holding((ACCOUNT,))
        assert holding.stored == sum(row.size for row in made.store.page(ACCOUNT, b"", 100)) or waiting
    for transfer in list(made.server.transfers._transfers.values()):
        made.server.transfers.cancel(transfer, now)
    while waiting:
        go_on()
    finish(made, now)


def finish(made, now):
    """Everything ends in time, holds nothing, and what is stored is what its name says."""
    transfers = made.server.transfers
    for transfer in list(transfers._transfers.values()):
        transfers.cancel(transfer, now)
        assert transfer.has_ended
    assert (made.quotas.holding((ACCOUNT,)).reserved, made.server.requests, transfers.running) == (0, 0, 0)
    assert (transfers._transfer_of, transfers._arrivals, transfers._slots) == ({}, {}, {})
    for row in made.store.page(ACCOUNT, b"", 100):
        reader = made.store.open(row)
        assert row.name.matches(reader.read(0, row.size))
        reader.close()
    transfers.handle_timer(now + 100_000)
    assert (transfers._transfers, transfers._accounts) == ({}, {})


def test_the_same_remote_server_twice_gives_the_same_requests():
    def run():
        made = bench()
        ordered(made, request(*NAMES, idempotency_key=b"12345678"))
        said = []
        for now in range(1, 200, 7):
            made.server.transfers.handle_timer(float(now))
            while (exchange := made.server.transfers.next_request(float(now))) is not None:
                said.append((now, exchange.request.target, exchange.request.headers))
                exchange.receive_head(answer((503, 307, 200)[len(said) % 3], size=12, Location="/x"), float(now))
                exchange.fail(Trouble.CUT, float(now))
        return said

    assert run() == run()
    assert all(target.startswith(SA) for _, target, _ in run())
