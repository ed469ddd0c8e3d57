"""What a DECADE server is and has, as a person writes it: a TOML file, or values made in a program.

::

    server = "https://storage.example"      # its identifier, which tokens are for
    listen = "127.0.0.1:7069"
    root = "objects"                        # a directory; without it everything is in memory

    [accounts.alice]
    weight = 2
    storage = "10GB"

    [accounts.alice.keys.laptop]
    file = "alice.pem"                      # whoever has this key mints tokens

    [accounts.alice.apps.films]
    storage = "4GB"

Sizes are octets with a unit (GB, GiB) or without one, rates bit/s, times seconds. Paths are relative to the folder of
the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs

from decade.cose import Ed25519SigningKey, Es256Key, VerifyingKey
from decade.errors import RefusedError
from decade.ledger import MemoryQuotas
from decade.messages import Access, Limits, ResourcePolicy, WhenFull
from decade.policy import PROVIDER, PolicyTree
from decade.ports import NodePath
from decade.settings import MAX_REQUESTS, MAX_TRANSFERS, MONTH, Extension, Settings, default_limits
from decade.tokens import RegisteredKey, TokenFeature
from decade.values import MAX_WEIGHT, Priority
from interop._http_server import read_listen
from interop._toml import Table, TomlError, read
from interop.decade_keys import public_key_of_text, read_signing_key, read_verifying_key
from interop.decade_server.origin import Network, Proxies, networks_of

if TYPE_CHECKING:
    from interop.decade_scale.config import Shared

PORT = 7069
"""Where `decade serve` listens: the number of the RFC."""
MAX_NAME = 64
"""Octets of the name of an account or application, as on the wire."""
_SIZE = re.compile(r"(\d{1,16})(?:\.(\d{1,6}))? ?([kMGTP]?)(i?)B?", re.ASCII)
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_C = TypeVar("_C", bound=IntEnum)


class ConfigError(ValueError):
    """What is wrong, in one sentence that names the file, and the key or line."""


@attrs.frozen
class TlsFiles:
    """The server's certificate chain and private key (PEM)."""

    certificate: Path
    key: Path


@attrs.frozen
class TransferConfig:
    """Transfers between servers: how many at a time, and which addresses may be asked besides global ones.

    `networks`: prefixes; `hosts`: names, whatever addresses they have. `ca`: who signs certificates besides those that
    the system knows (PEM).
    """

    parallel: int = MAX_TRANSFERS
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    ca: Path | None = None


@attrs.frozen(kw_only=True)
class ServerConfig:
    """A server. `server`: its identifier, None for the address that it listens at. `root`: a directory, `store`: what
    servers share; without either everything is in memory.

    `policies`: of the provider, of accounts and of their applications, parents first. `keys`: by their `kid`.
    `accel`: the internal path at which the proxies send the files of `root` themselves (nginx: X-Accel-Redirect).
    `workers`: processes that share them; each has an equal part of `max_requests` and of every rate. All other limits
    of nodes and tokens hold for all together.
    """

    server: str | None = None
    listen: tuple[str, int] = ("127.0.0.1", PORT)
    root: Path | None = None
    store: Shared | None = None
    tls: TlsFiles | None = None
    limits: Limits = attrs.field(factory=default_limits)
    egress_bps: int | None = None
    siblings: tuple[str, ...] = ()
    is_shared_cache_allowed: bool = True
    extensions: frozenset[Extension | TokenFeature] = frozenset()
    mint_key: Ed25519SigningKey | None = attrs.field(default=None, repr=False)
    log_retention: int = MONTH
    transfers: TransferConfig | None = None
    max_requests: int = MAX_REQUESTS
    proxies: Proxies = attrs.field(factory=Proxies)
    accel: str | None = None
    is_insecure_allowed: bool = False
    workers: int = 1
    policies: Mapping[NodePath, ResourcePolicy] = attrs.field(factory=dict)
    keys: Mapping[bytes, RegisteredKey] = attrs.field(factory=dict)

    @property
    def has_transfers(self) -> bool:
        """Whether objects are moved between servers."""
        return bool(self.extensions & {Extension.PULL, Extension.PUSH})

    def mistake(self) -> tuple[str, str] | None:
        """What does not go together, and the key that it is about, which may be none."""
        try:
            self.settings(self.server or "http://localhost")
        except ValueError as error:
            return str(error), ""
        is_alone = self.workers == 1
        checks = (
            (self.root and self.store, "'root' and 'store' are two places for the same objects", "root"),
            (not (is_alone or self.root or self.store), "several workers share a directory: 'root' is due", "workers"),
            (self.transfers and not self.has_transfers, "it goes with the extensions 'pull' and 'push'", "transfers"),
            (
                self.has_transfers and not is_alone,
                "transfers are of one process: 'pull' and 'push' go with one worker",
                "workers",
            ),
            (
                Extension.GUARANTEES in self.extensions and not is_alone,
                "each worker has a part of the line: 'guarantees' goes with one worker",
                "workers",
            ),
            (
                Extension.CHALLENGE in self.extensions and (self.store or not is_alone),
                "seeds are of one process: 'challenge' goes with one worker and a directory",
                "extensions",
            ),
            (
                self.accel and not (self.root and self.proxies.networks),
                "it goes with 'root', whose files it sends, and 'trusted-proxies', where it is",
                "front",
            ),
            (
                self.mint_key is not None and self.mint_key.kid in self.keys,
                "it is the key of an account, whose holder could mint for all others",
                "mint-key",
            ),
            (not self.keys, "nobody could use it: at least one key [accounts.NAME.keys.NAME] is due", ""),
        )
        return next(((text, key) for is_wrong, text, key in checks if is_wrong), None)

    def settings(self, server: str) -> Settings:
        """What a server is told, for one of the workers. `server`: its identifier. Raises ValueError."""
        return Settings(
            server=server,
            limits=self.limits,
            siblings=self.siblings,
            max_requests=max(1, self.max_requests // self.workers),
            egress_bps=self.egress_bps,
            processes=self.workers,
            is_shared_cache_allowed=self.is_shared_cache_allowed,
            extensions=self.extensions,
            mint_key=self.mint_key,
            log_retention=self.log_retention,
            transfers=(self.transfers or TransferConfig()).parallel,
        )


def read_size(text: str) -> int:
    """Octets, such as `500MB`, `1.5GiB` or `4096`. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r:.40} is no size in octets, such as 500MB, 1.5GiB or 4096")
    unit = (1024 if found[4] else 1000) ** _POWERS[found[3]]
    return int(Decimal(f"{found[1]}.{found[2] or 0}") * unit)


def load_config(path: Path) -> ServerConfig:
    """The server that a TOML file describes, with the keys in the files that it names. Raises ConfigError."""
    try:
        root = read(path)
        found = _server(root)
        root.finish()
    except TomlError as error:
        raise ConfigError(str(error)) from error
    return found


def _server(root: Table) -> ServerConfig:
    tls, limits, store = root.table("tls"), root.table("limits"), root.table("store")
    transfers, front = root.table("transfers"), root.table("front")
    extensions = _extensions(root)
    accounts = _Accounts(root, extensions)
    found = ServerConfig(
        server=root.text("server"),
        listen=read_listen(root, PORT),
        root=root.file("root"),
        store=None if store is None else _shared(store),
        tls=None if tls is None else _tls(tls),
        limits=default_limits() if limits is None else _limits(limits),
        egress_bps=root.integer("egress-bps", least=1),
        siblings=root.texts("siblings"),
        is_shared_cache_allowed=root.flag("shared-cache") is not False,
        extensions=extensions,
        mint_key=_mint_key(root),
        log_retention=root.integer("log-retention", least=1) or MONTH,
        transfers=None if transfers is None else _transfers(transfers),
        max_requests=root.integer("max-requests", least=1) or MAX_REQUESTS,
        proxies=_proxies(root),
        accel=None if front is None else _accel(front),
        is_insecure_allowed=bool(root.flag("insecure")),
        workers=root.integer("workers", least=1) or 1,
        policies=accounts.policies,
        keys=accounts.keys,
    )
    if (mistake := found.mistake()) is not None:
        raise root.wrong(*mistake)
    return found


def _shared(table: Table) -> Shared:
    try:
        from interop.decade_scale.config import read_shared
    except ModuleNotFoundError as error:
        raise table.wrong(f"it needs {error.name}: pip install 'ietf-p2p[decade-scale]'") from error
    return read_shared(table, os.environ)


def _extensions(root: Table) -> frozenset[Extension | TokenFeature]:
    known: dict[str, Extension | TokenFeature] = {str(one): one for one in (*Extension, *TokenFeature)}
    names = root.texts("extensions")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise root.wrong(f"{unknown[0]!r:.40} is no extension; there are {', '.join(known)}", "extensions")
    return frozenset(known[name] for name in names)


def _mint_key(root: Table) -> Ed25519SigningKey | None:
    file = root.file("mint-key")
    try:
        key = None if file is None else read_signing_key(file)
    except ValueError as error:
        raise root.wrong(str(error), "mint-key") from error
    if key is not None and not isinstance(key, Ed25519SigningKey):
        raise root.wrong("a private key of Ed25519 is due", "mint-key")
    return key


def _proxies(root: Table) -> Proxies:
    form = root.text("proxy-header") or "x-forwarded"
    if form not in ("x-forwarded", "forwarded"):
        raise root.wrong(f"'x-forwarded' or 'forwarded' is due, not {form!r}", "proxy-header")
    chosen: Literal["x-forwarded", "forwarded"] = "forwarded" if form == "forwarded" else "x-forwarded"
    try:
        return Proxies(networks_of(root.texts("trusted-proxies")), chosen)
    except ValueError as error:
        raise root.wrong(str(error), "trusted-proxies") from error


def _tls(table: Table) -> TlsFiles:
    found = TlsFiles(
        table.due("certificate", table.file("certificate")),
        table.due("key", table.file("key")),
    )
    table.finish()
    return found


def _accel(table: Table) -> str:
    found = table.due("accel", table.text("accel"))
    if not (found.startswith("/") and found.endswith("/") and found.isascii() and found.isprintable()):
        raise table.wrong(f"a path is due, such as /_decade/, not {found!r:.80}", "accel")
    table.finish()
    return found


def _transfers(table: Table) -> TransferConfig:
    try:
        networks = networks_of(table.texts("networks"))
    except ValueError as error:
        raise table.wrong(str(error), "networks") from error
    found = TransferConfig(
        table.integer("parallel", least=1) or MAX_TRANSFERS,
        networks,
        frozenset(table.texts("hosts")),
        table.file("ca"),
    )
    table.finish()
    return found


def _limits(table: Table) -> Limits:
    default = default_limits()
    found = Limits(
        max_object=_size(table, "max-object") or default.max_object,
        min_object=_size(table, "min-object"),
        max_ttl=table.integer("max-lifetime", least=1) or default.max_ttl,
        max_token=default.max_token,
        max_token_life=table.integer("max-token-life", least=1) or default.max_token_life,
        max_list_page=table.integer("max-page", least=1) or default.max_list_page,
        max_transfer_objects=default.max_transfer_objects,
    )
    table.finish()
    return found


def _size(table: Table, name: str) -> int | None:
    """Octets: an integer, or a string with a unit."""
    found = table.text_or_integer(name)
    try:
        return read_size(str(found)) if found is not None else None
    except ValueError as error:
        raise table.wrong(str(error), name) from error


class _Accounts:
    """The policies and the keys of a file."""

    def __init__(self, root: Table, extensions: frozenset[Extension | TokenFeature]) -> None:
        provider = root.table("provider")
        self.policies: dict[NodePath, ResourcePolicy] = {PROVIDER: ResourcePolicy(weight=1)}
        self.keys: dict[bytes, RegisteredKey] = {}
        self._has_es256 = TokenFeature.ES256 in extensions
        # What a server would not take, a tree without objects does not take either.
        self._tree = PolicyTree(MemoryQuotas(), extensions=extensions)
        if provider is not None:
            self.policies[PROVIDER] = _policy(provider)
            provider.finish()
        if Extension.GUARANTEES in extensions:
            self._guarantee(provider or root, root.integer("egress-bps", least=1))
        for name, table in root.tables("accounts").items():
            self._add((name,), table)

    def _guarantee(self, table: Table, egress_bps: int | None) -> None:
        """What is guaranteed is of the line, which is the ceiling of the provider."""
        policy = self.policies[PROVIDER]
        ceilings = [bps for bps in (policy.ceiling_download, egress_bps) if bps is not None]
        policy = attrs.evolve(policy, ceiling_download=min(ceilings, default=None))  # type: ignore[misc]
        self.policies[PROVIDER] = policy
        try:
            self._tree.put(PROVIDER, policy)
        except RefusedError as error:
            raise table.wrong(str(error)) from error

    def _add(self, path: NodePath, table: Table) -> None:
        """An account, or an application."""
        if not path[-1].isprintable() or not 1 <= len(path[-1].encode()) <= MAX_NAME:
            raise table.wrong(f"a name has 1 to {MAX_NAME} octets that can be printed")
        self.policies[path] = _policy(table)
        try:
            self._tree.put(path, self.policies[path])
        except RefusedError as error:
            raise table.wrong(str(error)) from error
        for entry in table.tables("keys").values():
            self._add_key(path, entry)
        if len(path) == 1:
            for name, app in table.tables("apps").items():
                self._add((*path, name), app)
        table.finish()

    def _add_key(self, path: NodePath, table: Table) -> None:
        key = _key(table)
        table.finish()
        if isinstance(key, Es256Key) and not self._has_es256:
            raise table.wrong("a key on P-256 goes with the extension 'es256'")
        other = self.keys.get(key.kid)
        if other is not None:
            raise table.wrong(f"its identifier is that of another key, of {'/'.join((other.account, *other.app))}")
        self.keys[key.kid] = RegisteredKey(key, path[0], path[1:])


def _policy(table: Table) -> ResourcePolicy:
    weight = table.integer("weight", least=1) or 1
    if weight > MAX_WEIGHT:
        raise table.wrong(f"at most {MAX_WEIGHT} is due, not {weight}", "weight")
    try:
        prefixes = networks_of(table.texts("prefixes"))
    except ValueError as error:
        raise table.wrong(str(error), "prefixes") from error
    return ResourcePolicy(
        weight=weight,
        guaranteed_download=table.integer("guaranteed-download-bps", least=0),
        guaranteed_upload=table.integer("guaranteed-upload-bps", least=0),
        ceiling_download=table.integer("download-bps", least=0),
        ceiling_upload=table.integer("upload-bps", least=0),
        connections=table.integer("connections", least=0),
        storage=_size(table, "storage"),
        default_lifetime=table.integer("default-lifetime", least=1),
        longest_lifetime=table.integer("longest-lifetime", least=1),
        priority=_choice(table, "priority", Priority),
        when_full=_choice(table, "when-full", WhenFull),
        access=_choice(table, "access", Access),
        prefixes=prefixes or None,
    )


def _choice(table: Table, name: str, kind: type[_C]) -> _C | None:
    """One of the words that the members of an enumeration make."""
    words = {member.name.lower().replace("_", "-"): member for member in kind}
    word = table.text(name)
    if word is not None and word not in words:
        raise table.wrong(f"one of {', '.join(words)} is due, not {word!r}", name)
    return None if word is None else words[word]


def _key(table: Table) -> VerifyingKey:
    """A file, or a public key as text."""
    file, public = table.file("file"), table.text("public")
    if (file is None) == (public is None):
        raise table.wrong("one of the keys 'file' and 'public' is due")
    try:
        return read_verifying_key(file) if file is not None else public_key_of_text(public or "")
    except ValueError as error:
        raise table.wrong(str(error)) from error
