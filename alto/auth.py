"""Who a client is: what a server asks of an authenticator (RFC 7285 section 8.3.5)."""

from typing import Protocol, TypeAlias

from attrs import frozen

from alto.http import Headers, Request


@frozen
class Authenticated:
    """The request comes from `user`; `headers` go with the answer."""

    user: str
    headers: Headers = ()


@frozen
class Challenge:
    """The request comes from nobody who is known; `headers` say how to prove who one is (WWW-Authenticate)."""

    headers: Headers


Verdict: TypeAlias = Authenticated | Challenge


class Authenticator(Protocol):
    """Finds out who a request comes from."""

    def authenticate(self, request: Request, now: float) -> Verdict:
        """Who has sent `request`, or how to prove it."""
