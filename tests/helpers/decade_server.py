"""A server of DECADE in memory, the tokens for it, and how tests ask it."""

import base64
from itertools import count

import attrs
from decade_tokens import ACCOUNT, LIFE, MAC, NOW, SERVER, SIGNING

from decade.cose import HmacKey
from decade.http import Request, Response
from decade.ledger import MemoryLedger, MemoryQuotas
from decade.messages import MEDIA_TYPE, ResourcePolicy, decode_message, encode_message
from decade.names import name_of
from decade.policy import PolicyTree
from decade.problem import decode_problem
from decade.scope import ALL_OPERATIONS
from decade.server import Server
from decade.settings import Settings, default_limits
from decade.store import MemoryStore
from decade.tokens import Claims, Everything, RegisteredKey, TokenPolicy, mint
from decade.waiting import settle

BOB = HmacKey(bytes(32), b"bob")
APP = HmacKey(bytes(range(32)), b"app")
KEYS = {
    MAC.kid: RegisteredKey(MAC, ACCOUNT),
    SIGNING.kid: RegisteredKey(SIGNING.public, ACCOUNT),
    BOB.kid: RegisteredKey(BOB, "bob"),
    APP.kid: RegisteredKey(APP, ACCOUNT, ("live",)),
}
OCTETS = b"Hello World!"
HELLO = name_of(OCTETS)
PEER = ("192.0.2.1", 4711)
ALL = ((Everything(), ALL_OPERATIONS),)
_CTI = count(1)


def token(key=MAC, *, scope=ALL, cti=None, iat=NOW, exp=NOW + 3600, aud=(SERVER,), **policy):
    """A token that permits everything, with what of a TokenPolicy is given."""
    claims = Claims(
        aud=aud,
        exp=exp,
        iat=iat,
        cti=next(_CTI).to_bytes(16) if cti is None else cti,
        scope=scope,
        policy=TokenPolicy(**policy) if policy else None,
    )
    return mint(claims, key)


def bearer(octets):
    """The header field of a token."""
    return (("Authorization", "Bearer " + base64.urlsafe_b64encode(octets).rstrip(b"=").decode()),)


class Bench:
    """A server, and what it is made of; `now` is 1 when the Unix time is NOW + 1."""

    def __init__(
        self,
        *,
        policy=None,
        provider=None,
        store=None,
        local_policy=None,
        limits=None,
        ledger=None,
        quotas=None,
        journal=None,
        random_bytes=bytes,
        **settings,
    ):
        self.quotas = MemoryQuotas() if quotas is None else quotas
        self.tree = PolicyTree(self.quotas, provider, extensions=settings.get("extensions", frozenset()))
        self.tree.put((ACCOUNT,), policy or ResourcePolicy(weight=1))
        self.tree.put((ACCOUNT, "live"), ResourcePolicy(weight=1))
        self.tree.put(("bob",), ResourcePolicy(weight=1))
        self.store = MemoryStore() if store is None else store
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.keys = dict(KEYS)
        limits = attrs.evolve(default_limits(), max_token_life=LIFE, **(limits or {}))
        self.server = Server(
            Settings(server=SERVER, limits=limits, **settings),
            self.keys.get,
            self.tree,
            epoch=NOW,
            store=self.store,
            ledger=self.ledger,
            local_policy=local_policy,
            journal=journal,
            random_bytes=random_bytes,
        )
        self.now = 1.0

    def head(self, method, target, key=None, *, headers=()):
        """What the server says to the head of a request. `key`: the octets of a token."""
        fields = (*headers, *(bearer(key) if key is not None else ()))
        return settle(self.server.handle(Request(method, target, fields), PEER, self.now), self.now)

    def ask(self, method, target, key=None, body=None, *, headers=()):
        """The whole answer to a request, its body read to the end."""
        if body is not None:
            headers = (("Content-Length", str(len(body))), *headers)
        answer = self.head(method, target, key, headers=headers)
        if not isinstance(answer, Response):
            answer = answer.feed(body or b"", self.now) or settle(answer.finish(self.now), self.now)
        return whole(answer, self.now)

    def put(self, octets=OCTETS, key=None, **more):
        """Store an object."""
        return self.ask("PUT", name_of(octets).path, token() if key is None else key, octets, **more)

    def get(self, name=HELLO, key=None, **more):
        """Fetch an object."""
        return self.ask("GET", name.path, token() if key is None else key, **more)

    def control(self, method, path, message=None, key=None):
        """Ask for a resource of the protocol; the message of the answer, or the answer if it is another one."""
        key = token() if key is None else key
        target = f"/decade/v1/{path}"
        if message is None:
            answer = self.ask(method, target, key)
        else:
            body = message if isinstance(message, bytes) else encode_message(message)
            answer = self.ask(method, target, key, body, headers=(("Content-Type", MEDIA_TYPE),))
        is_message = answer.header("Content-Type") == MEDIA_TYPE
        return decode_message(answer.body) if is_message and answer.body else answer

    def uses(self):
        """What the tokens have used that have used something."""
        return [entry.use for entry in self.ledger._entries.values() if entry.use.uses or entry.use.amount]

    def state(self):
        """Everything that a request that fails before its first octet must leave as it was, the uses last."""
        rows = [row for account in (ACCOUNT, "bob") for row in self.store.page(account, b"", 1000)]
        held = [self.quotas.holding(path) for path in ((), (ACCOUNT,), (ACCOUNT, "live"), ("bob",))]
        return rows, held, self.server.requests, len(self.server._pace), self.uses()


def whole(answer, now=1.0):
    """An answer whose body is octets."""
    if isinstance(answer.body, bytes):
        return answer
    parts = []
    while part := answer.body.read(5, now):
        parts.append(part)
    answer.body.close(now)
    return attrs.evolve(answer, body=b"".join(parts))


def code(answer):
    """The code of the problem in an answer."""
    problem = decode_problem(answer.body)
    return None if problem is None else problem.code
