"""What a provider decides about a server."""

from __future__ import annotations

import re
from enum import StrEnum

import attrs

from decade.cose import Ed25519SigningKey
from decade.messages import MAX_OBJECTS, VERSION, Limits, ServerInfo
from decade.names import SHA_256, WELL_KNOWN
from decade.tokens import MAX_TOKEN, TokenFeature

MAX_PAGE = 128
"""Objects of a page: an object-info with the longest media type has 380 octets, and a message at most 64 KiB."""
MAX_REQUESTS = 1024
"""Requests in progress. Beyond that each one has too little of the line to be done in time."""
MAX_TRANSFERS = 8
"""Objects under way between servers at a time: more would take the line from who is waiting at a screen."""
DRP_PATH = "/decade/v1/"
"""The path of the resource protocol; the number is the version."""

MIN_RETENTION = 3600
"""Seconds that logs are kept at least: reads are counted by hours."""
MONTH = 30 * 86400

_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:_-]+")


class Extension(StrEnum):
    """What a server may have beyond the core, by its name in server-info; a server without one refuses what needs it.

    `EVICT_OWN`: nodes may make room by what they hold. `PUBLIC`: nodes may let anybody read. `DT`: tokens in URLs.
    `JOINED`: who asks for an object that is on its way waits until it is there.
    `GUARANTEES`: nodes may have rates before others get their share.
    `CHALLENGE`: an object that the server has need not be sent. `PULL`, `PUSH`: transfers between servers, which need
    a driver. The others are logs.
    """

    EVICT_OWN = "evict-own"
    PUBLIC = "public"
    DT = "dt"
    GUARANTEES = "guarantees"
    CHALLENGE = "challenge"
    JOINED = "joined"
    ACCESS_LOG = "access-log"
    DISTRIBUTION_LOG = "distribution-log"
    TOKENS_SEEN = "tokens-seen"
    PULL = "pull"
    PUSH = "push"


POLICY_EXTENSIONS = frozenset({Extension.EVICT_OWN, Extension.PUBLIC, Extension.GUARANTEES})
"""The extensions that are in policies."""
LOGS = frozenset({Extension.ACCESS_LOG, Extension.DISTRIBUTION_LOG, Extension.TOKENS_SEEN})
"""The extensions that need a `decade.journal.Journal`."""


def default_limits() -> Limits:
    """Objects of up to 64 MiB for up to a year, tokens of up to a week."""
    return Limits(
        max_object=64 * 2**20,
        max_ttl=365 * 86400,
        max_token=MAX_TOKEN,
        max_token_life=7 * 86400,
        max_list_page=MAX_PAGE,
        max_transfer_objects=MAX_OBJECTS,
    )


def _check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r:.80} is no origin, such as https://storage.example")


@attrs.frozen(kw_only=True)
class Settings:
    """`server`: its identifier, an origin such as "https://sb.example", which is the audience of tokens.

    `siblings`: origins that have the same objects, for redirection under load. `max_requests`: in progress at a time.
    `egress_bps`: what the server sends at most, in bit/s; shares hold if the line has more than that.
    `processes`: that are this server together; each has an equal part of `egress_bps` and of every ceiling.
    `is_shared_cache_allowed`: whether caches in front keep objects and ask for each use; others keep none.
    `extensions`: that are on. `log_retention`: seconds for which reads and transfers are kept, if they are logged.
    `transfers`: objects under way between servers at a time.
    `mint_key`: with which the server mints tokens, if it does; it is registered for no account.
    """

    server: str
    limits: Limits = attrs.field(factory=default_limits)
    siblings: tuple[str, ...] = ()
    max_requests: int = MAX_REQUESTS
    egress_bps: int | None = None
    processes: int = 1
    is_shared_cache_allowed: bool = True
    extensions: frozenset[Extension | TokenFeature] = frozenset()
    log_retention: int = MONTH
    transfers: int = MAX_TRANSFERS
    mint_key: Ed25519SigningKey | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for what is no origin, for limits that do not hold, and for logs of no time."""
        _check_origins((self.server, *self.siblings))
        if not 1 <= self.limits.max_list_page <= MAX_PAGE:
            raise ValueError(f"a page has 1 to {MAX_PAGE} objects")
        if self.limits.max_token != MAX_TOKEN:
            raise ValueError(f"tokens have up to {MAX_TOKEN} octets")
        if self.log_retention < MIN_RETENTION:
            raise ValueError(f"logs are kept for {MIN_RETENTION} s at least")
        if (TokenFeature.MINT in self.extensions) != (self.mint_key is not None):
            raise ValueError("a server that mints tokens has a key for it")

    @property
    def token_features(self) -> frozenset[TokenFeature]:
        """The extensions that tokens may use."""
        return frozenset(one for one in self.extensions if isinstance(one, TokenFeature))

    @property
    def info(self) -> ServerInfo:
        """What everybody may know."""
        return ServerInfo(
            versions=(VERSION,),
            server=self.server,
            object_template=f"{self.server}{WELL_KNOWN}{{alg}}/{{val}}",
            drp_base=f"{self.server}{DRP_PATH}",
            hash_algorithms=(SHA_256,),
            limits=self.limits,
            features=tuple(sorted(map(str, self.extensions))),
            keys=None if self.mint_key is None else (self.mint_key.public.cose_key,),
            siblings=self.siblings or None,
        )
