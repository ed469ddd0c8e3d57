"""A tracker as a program runs it: where registrations are, who is let in, how peers are chosen."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import secrets
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from interop._asgi_parts import Scope
from interop._tracker_thread import ThreadedTracker
from interop.asgi import asgi
from ppsp.tracker import ByProperties, Limits, PeerSelector, RandomSample, Ranked, Rules, TrackerServer

if TYPE_CHECKING:
    from alto.auth import DigestAuthenticator
    from interop.tracker_auth import BearerTokens, Gate
    from interop.tracker_ranking import AltoCosts
    from interop.tracker_store import RedisRegistry

MAX_TIMER = 86400.0
"""Seconds: a peer that is silent for a day is gone."""


class TrackerConfigError(Exception):
    """A tracker cannot run like that; the text says why, in one line."""


@attrs.frozen(kw_only=True)
class TrackerConfig:
    """What an operator decides. `store`, of `prefix`, is a Redis; its secrets are in the environment alone."""

    rules: Rules = attrs.field(factory=Rules)
    limits: Limits = attrs.field(factory=Limits)
    track_timer: float = 180.0
    store: str | None = None
    prefix: str = "ppsp"
    users: Path | None = None
    """HTTP Digest: lines USER:REALM:DIGEST, as `htdigest` writes them."""
    token_keys: Path | None = None
    token_audience: str | None = None
    token_issuer: str | None = None
    has_certificates: bool = False
    """Clients may authenticate with a certificate in TLS."""
    select: str = "random"
    """`random` or `properties`; `alto` comes before both."""
    alto: str | None = None
    """The Root IRD of an ALTO server that says who is near."""
    has_statistics: bool = False
    proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies that are trusted to say in X-Forwarded-For where a request comes from."""


class Tracker:
    """A tracker ready to serve. Raises TrackerConfigError."""

    def __init__(self, config: TrackerConfig, *, environment: Mapping[str, str] = os.environ) -> None:
        self._config = config
        self._costs: AltoCosts | None = None
        epoch = time.time() - time.monotonic()
        registry = _registry(config, epoch, environment)
        self.server = TrackerServer(
            registry=registry,
            select=self._selector(),
            authenticate=_gate(config, registry, epoch),
            rules=config.rules,
            limits=config.limits,
            has_statistics=config.has_statistics,
            track_timer=config.track_timer,
            epoch=epoch,
        )
        self.app: Any = self._application()
        """The ASGI application."""

    def _application(self) -> Any:
        """With a store it works in a thread, so that nothing else waits for that."""
        if self._config.store is None:
            adapter = asgi(self.server, origin=_origin)
        else:
            threaded = ThreadedTracker(self.server)
            adapter = asgi(threaded, origin=_origin)
            threaded.wake = adapter.wake
        if not self._config.proxies:
            return adapter
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        trusted: list[str] = []
        for one in self._config.proxies:
            try:
                network = ipaddress.ip_network(one)
            except ValueError as error:
                raise TrackerConfigError(f"--trusted-proxy {one}: {error}") from error
            trusted.append(str(network))
            if network.version == 4:
                # So it comes to a tracker that listens on `::`.
                trusted.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
        # Uvicorn's types of ASGI are narrower than what they stand for.
        return ProxyHeadersMiddleware(cast(Any, adapter), trusted)

    def _selector(self) -> PeerSelector:
        if self._config.alto is None:
            kind = ByProperties if self._config.select == "properties" else RandomSample
            return kind(secrets.token_bytes)
        if not re.fullmatch(r"https?://[^/\s]+\S*", self._config.alto):
            raise TrackerConfigError(f"--alto {self._config.alto!r}: not an http or https URI")
        from interop.tracker_ranking import AltoCosts

        self._costs = AltoCosts()
        return Ranked(self._costs, secrets.token_bytes)

    def background(self) -> Coroutine[Any, Any, None] | None:
        """What has to run beside the application for as long as it runs; None for nothing."""
        if self._costs is None or self._config.alto is None:
            return None
        return self._costs.follow(self._config.alto)


def _origin(scope: Scope) -> dict[str, str]:
    """The name in the certificate that a client has shown."""
    name = scope.get("extensions", {}).get("tls", {}).get("client_cert_name")
    return {"certificate": name} if name else {}


def _registry(config: TrackerConfig, epoch: float, environment: Mapping[str, str]) -> RedisRegistry | None:
    if config.store is None:
        return None
    if importlib.util.find_spec("redis") is None:
        raise TrackerConfigError('--store needs more: pip install "ietf-p2p[ppsp-tracker]"')
    from interop.tracker_store import RedisRegistry, StoreError

    try:
        registry = RedisRegistry(
            config.store,
            prefix=config.prefix,
            user=environment.get("PPSP_REDIS_USER"),
            password=environment.get("PPSP_REDIS_PASSWORD"),
            track_timer=config.track_timer,
            epoch=epoch,
        )
        registry.check()
    except StoreError as error:
        raise TrackerConfigError(f"--store: {error}") from error
    return registry


def _gate(config: TrackerConfig, registry: RedisRegistry | None, epoch: float) -> Gate | None:
    if config.users is None and config.token_keys is None and not config.has_certificates:
        return None
    from interop.tracker_auth import Gate

    digest = None
    if config.users is not None:
        digest = _digest(config.users, _nonce_key(registry) if registry is not None else None)
    return Gate(digest=digest, bearer=_bearer(config), has_certificates=config.has_certificates, epoch=epoch)


def _digest(users: Path, key: bytes | None) -> DigestAuthenticator:
    from alto.errors import ConfigurationError
    from interop._alto_credentials import load_credentials

    try:
        return load_credentials(users).authenticator(key=key)
    except ConfigurationError as error:
        raise TrackerConfigError(f"--users {error}") from error


def _nonce_key(registry: RedisRegistry) -> bytes:
    """Trackers that share a store take one another's nonces: a client does not notice which of them answers."""
    from interop.tracker_store import StoreError

    try:
        return registry.nonce_key()
    except StoreError as error:
        raise TrackerConfigError(f"--store: {error}") from error


def _bearer(config: TrackerConfig) -> BearerTokens | None:
    if config.token_keys is None:
        return None
    if config.token_audience is None:
        raise TrackerConfigError("--token-keys needs --token-audience: what tokens for this tracker name as `aud`")
    if importlib.util.find_spec("jwt") is None:
        raise TrackerConfigError('--token-keys needs more: pip install "ietf-p2p[ppsp-tracker]"')
    from interop.tracker_auth import BearerTokens, KeyFileError, load_token_keys

    try:
        keys = load_token_keys(config.token_keys)
    except KeyFileError as error:
        raise TrackerConfigError(f"--token-keys {error}") from error
    return BearerTokens(keys, config.token_audience, config.token_issuer)
