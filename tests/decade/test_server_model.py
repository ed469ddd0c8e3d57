"""A server against a naive model: any sequence of uploads, downloads, deletions and time, with a quota."""

from decade_server import BOB, Bench, token
from decade_tokens import MAC, NOW
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from decade.http import Response
from decade.messages import ResourcePolicy
from decade.names import name_of

OBJECTS = [bytes((65 + size,)) * size for size in (0, 1, 7, 20, 33)]
LIMIT = 60
KEYS = {"alice": token(MAC, exp=NOW + 80_000), "bob": token(BOB, exp=NOW + 80_000)}
accounts, octets = st.sampled_from(sorted(KEYS)), st.sampled_from(OBJECTS)


class Against(RuleBasedStateMachine):
    """The model: what each account holds, with its expiry, and the uploads that are open."""

    uploads, downloads = Bundle("uploads"), Bundle("downloads")

    def __init__(self):
        super().__init__()
        self.made = Bench(policy=ResourcePolicy(weight=1, storage=LIMIT))
        self.held, self.receiving, self.reading = {}, {}, {}

    def live(self, account, body):
        return self.held.get((account, body), 0) > NOW + self.made.now

    def used(self, account):
        stored = sum(len(body) for owner, body in self.held if owner == account)
        return stored + sum(len(body) for owner, body, _ in self.receiving.values() if owner == account)

    @rule(target=uploads, account=accounts, body=octets, life=st.integers(1, 50))
    def start(self, account, body, life):
        expires = int(NOW + self.made.now) + life
        headers = (("Content-Length", str(len(body))), ("Decade-Attrs", f"exp={expires}"))
        answer = self.made.head("PUT", name_of(body).path, KEYS[account], headers=headers)
        if self.live(account, body):
            assert answer.status == 204
            self.held[account, body] = max(expires, self.held[account, body])
            return None
        self.held.pop((account, body), None)
        if account == "alice" and self.used(account) + len(body) > LIMIT:
            assert answer.status == 507
            return None
        assert not isinstance(answer, Response)
        self.receiving[answer] = (account, body, expires)
        return answer

    @rule(upload=consumes(uploads), end=st.sampled_from(["whole", "short", "wrong", "long", "abort"]))
    def end(self, upload, end):
        if upload not in self.receiving:
            return
        account, body, expires = self.receiving.pop(upload)
        now = self.made.now
        sent = {"whole": body, "short": body[:-1], "wrong": b"?" * len(body), "long": body + b"!", "abort": body}[end]
        answer = upload.feed(sent, now)
        if end == "abort":
            upload.abort(now)
        elif sent != body:
            assert (answer or upload.finish(now)).status in (400, 422)
        elif self.live(account, body):
            assert upload.finish(now).status == 204
            self.held[account, body] = max(expires, self.held[account, body])
        else:
            assert upload.finish(now).status == 201
            self.held[account, body] = expires

    @rule(target=downloads, account=accounts, body=octets)
    def read(self, account, body):
        answer = self.made.head("GET", name_of(body).path, KEYS[account])
        assert (answer.status == 200) is self.live(account, body)
        if answer.status != 200 or not body:
            return None
        self.reading[answer.body] = body
        return answer.body

    @rule(download=consumes(downloads), size=st.integers(0, 40))
    def read_on(self, download, size):
        if download in self.reading:
            body = self.reading.pop(download)
            assert download.read(size, self.made.now) == body[:size]
            download.close(self.made.now)

    @rule(account=accounts, body=octets)
    def delete(self, account, body):
        answer = self.made.ask("DELETE", name_of(body).path, KEYS[account])
        assert (answer.status == 204) is self.live(account, body)
        if answer.status == 204:
            del self.held[account, body]

    @rule(seconds=st.integers(1, 25))
    def wait(self, seconds):
        self.made.now += seconds
        self.made.server.handle_timer(self.made.now)
        self.held = {key: expires for key, expires in self.held.items() if expires > NOW + self.made.now}
        for upload in [upload for upload in self.receiving if upload._has_expired]:
            assert upload.finish(self.made.now).status == 408
            del self.receiving[upload]

    @invariant()
    def what_is_charged_is_what_is_held(self):
        for account in KEYS:
            holding = self.made.quotas.holding((account,))
            assert holding.used == self.used(account)
            assert holding.stored == sum(row.size for row in self.made.store.page(account, b"", 99))
        assert self.made.quotas.holding(("alice",)).used <= LIMIT
        assert self.made.server.requests == len(self.receiving) + len(self.reading)
        names = {body for _, body in self.held} | set(self.reading.values())
        assert self.made.store.payloads == len(names)


TestAgainst = Against.TestCase
