"""Remote servers of transfers as tests make them up, and an object that is transferred without a server around it."""

from itertools import count

from decade_server import HELLO, OCTETS, Bench, token
from decade_tokens import ACCOUNT, SERVER

from decade.errors import ErrorCode, RefusedError
from decade.http import Response
from decade.ledger import MemoryQuotas
from decade.lines import Line
from decade.messages import MEDIA_TYPE, Direction, Remote, ResourcePolicy, TransferRequest, encode_message
from decade.policy import PolicyTree
from decade.remote import read_remote_token
from decade.scheduler import Terms
from decade.settings import Extension
from decade.transfer import Mandate, ObjectTransfer
from decade.transfer_answers import Body, Changed, Missing, judge_get, judge_head, judge_put
from decade.waiting import Clock, begin, settle

SA = "https://sa.example"
TEMPLATE = SA + "/.well-known/ni/{alg}/{val}"


def answer(status, *, size=None, **fields):
    """The head of an answer; `size` is its Content-Length."""
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Response(status, (*headers, *(() if size is None else (("Content-Length", str(size)),))))


def request(*names, direction=Direction.PULL, **more):
    """A transfer of objects from SA, or to it."""
    remote = more.pop("remote", Remote(object_template=TEMPLATE))
    return TransferRequest(direction=direction, objects=names or (HELLO,), remote=remote, **more)


class FakeWork:
    """Octets in memory, and what was asked of them."""

    def __init__(self, *, is_pull=True, waits=False, held=False, error=None):
        self.is_pull, self.waits, self.held, self.error = is_pull, waits, held, error
        self.size = None if is_pull else len(OCTETS)
        self.method = "GET" if is_pull else "HEAD"
        self.octets = bytearray()
        self.sent = 0
        self.is_holding = False
        self.is_kept = False
        self.log = []

    @property
    def done(self):
        return len(self.octets) if self.is_pull else self.sent

    @property
    def sends(self):
        return len(OCTETS) if self.method == "PUT" else 0

    def headers(self):
        return (("Range", f"bytes={self.done}-"),) if self.is_pull and self.done else ()

    def _wait(self, what, clock):
        self.log.append(what)
        yield from clock.wait(self.waits, lambda: None)
        if self.error == what:
            raise RefusedError(ErrorCode.STORAGE_QUOTA, "full")

    def start(self, clock):
        yield from self._wait("start", clock)
        if not self.is_pull:
            self.method, self.sent, self.is_holding = "HEAD", 0, True
        return not self.held

    def judge(self, response):
        if self.is_pull:
            verdict = judge_get(response, self.done, self.size)
            self.size = None if isinstance(verdict, Changed) else self.size
            return verdict
        verdict = judge_head(response) if self.method == "HEAD" else judge_put(response)
        if isinstance(verdict, Missing):
            self.method = "PUT"
        return verdict

    def accept(self, body: Body, clock):
        yield from self._wait("accept", clock)
        self.size, self.is_holding = body.size, True

    def write(self, octets, now):
        if self.error == "write" or self.done + len(octets) > self.size:
            raise RefusedError(ErrorCode.REMOTE_MISMATCH, "too much")
        self.octets += octets

    def check(self):
        if self.done < self.size:
            return False
        if bytes(self.octets) != OCTETS:
            raise RefusedError(ErrorCode.REMOTE_MISMATCH, "others")
        return True

    def keep(self, clock):
        yield from self._wait("keep", clock)
        self.is_kept = True

    def read(self, size, now):
        part = OCTETS[self.sent : self.sent + size]
        self.sent += len(part)
        return part

    def pause(self, now):
        self.log.append("pause")

    def drop(self, now):
        self.log.append("drop")
        self.is_holding = False
        if not self.is_kept:
            self.octets.clear()


class One:
    """One object on its way, and who is told of its states."""

    def __init__(self, *, aud=(SA,), ceiling=None, is_pull=True, **work):
        self.work = FakeWork(is_pull=is_pull, **work)
        self.states = []
        self.tree = PolicyTree(MemoryQuotas())
        self.tree.put((ACCOUNT,), ResourcePolicy(weight=1))
        self.line = Line(self.tree, is_upload=is_pull, ceiling=ceiling)
        self.woken = 0
        terms = Terms((ACCOUNT,), (b"key", b"cti"))
        remote = read_remote_token(token(aud=aud), SA)
        mandate = Mandate(SA, remote, SERVER, lambda size: b"\x80" * size, self.line, terms, self._wake)
        self.item = ObjectTransfer(HELLO, self.work, mandate, lambda item, now: self.states.append(item.state))

    def _wake(self):
        self.woken += 1

    def start(self, now=1.0):
        """The first exchange of an attempt."""
        return settle(begin(self.item.start(Clock(now))), now)

    def head(self, exchange, response, now=1.0):
        """What follows an answer."""
        return settle(exchange.receive_head(response, now), now)


def ordered(made, message, key=None):
    """The answer of a `Bench` to an order."""
    body = encode_message(message)
    headers = (("Content-Type", MEDIA_TYPE),)
    return made.ask("POST", "/decade/v1/transfers", token() if key is None else key, body, headers=headers)


def transfers_of(made, message, key=None):
    """The transfer that a `Bench` was ordered to make."""
    response = ordered(made, message, key)
    return made.server.transfers.find(bytes.fromhex(response.header("Location").rpartition("/")[2]), made.now)


def finish_pull(made, *, octets=OCTETS, head=None, now=1.0):
    """The next object comes from the remote server."""
    exchange = made.server.transfers.next_request(now)
    exchange.receive_head(answer(200, size=len(octets)) if head is None else head, now)
    exchange.receive_data(octets, now)
    exchange.receive_end(now)


def bench(**more):
    """A `Bench` that makes transfers, each with an identifier of its own."""
    made = Bench(extensions=frozenset({Extension.PULL, Extension.PUSH}), **more)
    numbers = count()
    made.server.transfers._random_bytes = lambda size: (next(numbers) % 256**size).to_bytes(size)
    return made
