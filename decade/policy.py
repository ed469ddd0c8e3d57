"""The policy tree: a provider grants resources to accounts, and an account to its applications (RFC 7069 section 4.5).

A limit of a node holds for it and for everything below: what may be used is the least along the path. Storage is
reserved before an object comes and stored when it is there, at every node of the path or at none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

import attrs

from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.guarantees import Guarantees
from decade.messages import Access, ResourcePolicy
from decade.ports import Charge, Holding, NodePath, PutPolicy, Quotas
from decade.settings import POLICY_EXTENSIONS, Extension
from decade.values import Priority

MAX_LEVELS = 2
"""Accounts, and their applications. Deeper trees are an extension."""
MAX_APPS = 256
"""Applications of one account: each is a node of the scheduler, and a line of the account's status."""
Listener: TypeAlias = Callable[[NodePath, ResourcePolicy | None], None]
"""Told of the policy of a node; None: the node is gone."""
PROVIDER: NodePath = ()
"""The path of the root: what the whole server has."""


@attrs.frozen(kw_only=True)
class Effective:
    """What holds at a node: the least of each limit along its path, None for none, and its own place among siblings.

    `default_lifetime`: of the nearest node that has one, at most `longest_lifetime`. Units are `ResourcePolicy`'s.
    """

    weight: int
    priority: Priority
    ceiling_download: int | None
    ceiling_upload: int | None
    connections: int | None
    storage: int | None
    default_lifetime: int | None
    longest_lifetime: int | None


class ReservationState(Enum):
    """Where the storage for an object is that is to come."""

    RESERVED = "reserved"
    STORED = "stored"
    RELEASED = "released"


class ReservationEvent(Enum):
    """What ends a reservation: its object is stored, or will not be."""

    COMMIT = "commit"
    RELEASE = "release"


RESERVATION_TABLE: Mapping[ReservationState, Mapping[ReservationEvent, ReservationState]] = MappingProxyType(
    {
        ReservationState.RESERVED: {
            ReservationEvent.COMMIT: ReservationState.STORED,
            ReservationEvent.RELEASE: ReservationState.RELEASED,
        },
        ReservationState.STORED: {},
        ReservationState.RELEASED: {},
    }
)
"""What is absent raises StateError and changes nothing."""


class Reservation:
    """Octets that are kept for one object at each node of a path, until `commit` or `release`."""

    def __init__(self, quotas: Quotas, paths: tuple[NodePath, ...], octets: int) -> None:
        """For `PolicyTree.reserve`, which has reserved them."""
        self._quotas = quotas
        self._paths = paths
        self.octets = octets
        self.state = ReservationState.RESERVED

    @property
    def path(self) -> NodePath:
        """The node that pays."""
        return self._paths[-1]

    def commit(self) -> None:
        """The object is stored. Raises StateError unless RESERVED."""
        following = self._following(ReservationEvent.COMMIT)
        self._quotas.commit(self._paths, self.octets)
        self.state = following

    def release(self) -> None:
        """The object will not be stored. Raises StateError unless RESERVED."""
        following = self._following(ReservationEvent.RELEASE)
        self._quotas.release(self._paths, self.octets)
        self.state = following

    def _following(self, event: ReservationEvent) -> ReservationState:
        following = RESERVATION_TABLE[self.state].get(event)
        if following is None:
            raise StateError(f"a reservation that is {self.state.value} cannot {event.value}")
        return following


class PolicyTree:
    """The policies of a provider, its accounts and their applications, and the storage that they use.

    What an account has put for an application holds while the provider says of it what it said then, nothing or the
    same policy: whenever the provider changes its word, that goes before. What is put sleeps meanwhile, and while the
    account is gone.
    """

    def __init__(
        self, quotas: Quotas, provider: ResourcePolicy | None = None, *, extensions: Set[str] = frozenset()
    ) -> None:
        """`provider`: the limits of the whole server, none without it. `extensions`: of the server's settings, which
        policies may use. Raises RefusedError as `put` does.
        """
        self._quotas = quotas
        self.extensions = POLICY_EXTENSIONS & extensions
        self._configured: dict[NodePath, ResourcePolicy] = {}
        self._configured_apps: Counter[NodePath] = Counter()
        self._puts: Mapping[NodePath, PutPolicy] = {}
        self._put_apps: dict[NodePath, list[NodePath]] = {}
        self._refresh: Callable[[], None] | None = None
        self._policies: dict[NodePath, ResourcePolicy] = {}
        self._apps: dict[str, set[str]] = {}
        self._listeners: list[Listener] = []
        self._effective: dict[NodePath, Effective] = {}
        self._connections: dict[NodePath, tuple[tuple[NodePath, int | None], ...]] = {}
        # What the provider has configured, and what holds: with what accounts have put.
        self._promised, self._guarantees = Guarantees(), Guarantees()
        self.put(PROVIDER, provider or ResourcePolicy(weight=1))

    def listen(self, listener: Listener) -> None:
        """Tell of each node with its policy, those above before those below, and of each change from now on."""
        self._listeners.append(listener)
        for path, policy in self._policies.items():
            listener(path, policy)

    @property
    def waits(self) -> bool:
        """Whether `reserve` may take time."""
        return self._quotas.waits

    def follow(self, refresh: Callable[[], None]) -> None:
        """`refresh`: calls `lay` if accounts have put something that is not here yet."""
        self._refresh = refresh

    def refresh(self) -> None:
        """Take over what other processes were told."""
        if self._refresh is not None:
            self._refresh()

    def put(self, path: NodePath, policy: ResourcePolicy) -> None:
        """The provider makes a node, or changes its policy.

        Raises StateError if its parent is not there, and RefusedError, with nothing changed: for less storage than
        the node holds, for members of extensions, for more guarantees than there is to guarantee, and for more than
        MAX_APPS applications.
        """
        self._check_place(path, 0 if path in self._configured else self._configured_apps[path[:1]])
        _check_extensions(policy, self.extensions)
        self._promised.check(path, policy, self._configured[path[:-1]] if path else None)
        if self._resolve(path, policy) == policy:
            self._check_storage(path, policy)
        if path not in self._configured and len(path) == MAX_LEVELS:
            self._configured_apps[path[:1]] += 1
        self._configured[path] = policy
        self._promised.set(path, policy)
        self._settle(path)
        self._settle_guarantees(path[:1])

    def remove(self, path: NodePath) -> None:
        """The provider takes a node away. Raises StateError if it has not put it, or it is the provider, RefusedError
        while it holds octets or has applications that the provider has put.
        """
        if path == PROVIDER or path not in self._configured:
            raise StateError(f"{'/'.join(path)!r} is not in the tree")
        self._check_empty(path)
        if self._configured_apps[path]:
            raise conflict(path)
        del self._configured[path]
        self._promised.set(path, None)
        if len(path) == MAX_LEVELS:
            self._configured_apps[path[:1]] -= 1
        self._settle(path)
        self._settle_guarantees(path[:1])

    def check_put(self, path: NodePath, policy: ResourcePolicy) -> None:
        """Whether an account may put this for an application. Raises as `put` does."""
        self._check_place(path, 0 if path in self._policies else len(self._apps.get(path[0], ())))
        _check_extensions(policy, self.extensions)
        self._guarantees.check(path, policy, self._policies[path[:-1]])
        self._check_storage(path, policy)

    def check_remove(self, path: NodePath) -> None:
        """Whether an account may remove an application. Raises RefusedError: NOT_FOUND, CONFLICT if it holds octets."""
        if path not in self._policies:
            raise RefusedError(ErrorCode.NOT_FOUND, "there is no such application")
        self._check_empty(path)

    def lay(self, puts: Mapping[NodePath, PutPolicy]) -> None:
        """All that accounts have put for their applications, of whatever accounts. What of it needs an extension that
        is off does not hold, nor a guarantee that does not fit, first those of the last names; a limit below what is
        held does, so that nothing more is stored.
        """
        before, self._puts = self._puts, puts
        self._put_apps.clear()
        for path in sorted(puts):
            self._put_apps.setdefault(path[:1], []).append(path)
        changed = [path for path in sorted(before.keys() | puts.keys()) if before.get(path) != puts.get(path)]
        for path in changed:
            self._settle(path)
        for account in {path[:1] for path in changed}:
            self._settle_guarantees(account)

    @property
    def puts(self) -> Mapping[NodePath, PutPolicy]:
        """What `lay` was told last."""
        return self._puts

    def configured(self, path: NodePath) -> ResourcePolicy | None:
        """What the provider has put, None if it says nothing of this node."""
        return self._configured.get(path)

    def policy(self, path: NodePath) -> ResourcePolicy | None:
        """The policy that a node has, None if there is no such node."""
        return self._policies.get(path)

    def apps(self, account: str) -> tuple[str, ...]:
        """The applications of an account, in the order of their names; none if it is not known."""
        return tuple(sorted(self._apps.get(account, ())))

    def holding(self, path: NodePath) -> Holding:
        """What a node holds, with what is below it."""
        return self._quotas.holding(path)

    def effective(self, path: NodePath) -> Effective:
        """What holds at a node. Raises RefusedError (CLIENT_NOT_PERMITTED) if there is none: it may have been removed
        after a key was registered at it.
        """
        known = self._effective.get(path)
        if known is not None:
            return known
        policies = [policy for _, policy in self._along(path)]
        longest = _least(policy.longest_lifetime for policy in policies)
        default = next((p.default_lifetime for p in reversed(policies) if p.default_lifetime is not None), None)
        self._effective[path] = effective = Effective(
            weight=policies[-1].weight,
            priority=Priority.NORMAL if policies[-1].priority is None else policies[-1].priority,
            ceiling_download=_least(policy.ceiling_download for policy in policies),
            ceiling_upload=_least(policy.ceiling_upload for policy in policies),
            connections=_least(policy.connections for policy in policies),
            storage=_least(policy.storage for policy in policies),
            default_lifetime=default if default is None else _least((default, longest)),
            longest_lifetime=longest,
        )
        return effective

    def connection_limits(self, path: NodePath) -> tuple[tuple[NodePath, int | None], ...]:
        """The nodes that a connection counts at, with the limit of each. Raises RefusedError if there is none."""
        known = self._connections.get(path)
        if known is None:
            known = tuple((node, policy.connections) for node, policy in self._along(path))
            self._connections[path] = known
        return known

    def reserve(self, path: NodePath, octets: int) -> Reservation:
        """Keep room for one object at every node of a path.

        Raises RefusedError, with nothing reserved: STORAGE_QUOTA with the limit and the use of the node nearest to the
        provider that has no room, CLIENT_NOT_PERMITTED if there is no such node.
        """
        return self.reserve_at(self.charges(path), octets)

    def charges(self, path: NodePath) -> tuple[Charge, ...]:
        """The nodes that pay for what a node stores, with the limits of today. Raises RefusedError if there is none."""
        return tuple(Charge(node, policy.storage, self._version(node)) for node, policy in self._along(path))

    def reserve_at(self, charges: tuple[Charge, ...], octets: int) -> Reservation:
        """As `reserve`, and all of it that may take time: for any thread. Raises RefusedError (STORAGE_QUOTA), and
        OutdatedError if the limits are not those of today any more.
        """
        refused = self._quotas.reserve(charges, octets)
        if refused is not None:
            charge, holding = refused
            raise storage_error(charge.path, charge.limit or 0, holding.used)
        return Reservation(self._quotas, tuple(charge.path for charge in charges), octets)

    def check_room(self, path: NodePath) -> None:
        """Whether policies that have changed have room for what is reserved by now. Raises RefusedError (STORAGE_QUOTA,
        and CLIENT_NOT_PERMITTED if the node is gone).
        """
        for charge in self.charges(path):
            if charge.limit is not None and (used := self.holding(charge.path).used) > charge.limit:
                raise storage_error(charge.path, charge.limit, used)

    def drop(self, path: NodePath, octets: int) -> None:
        """An object that a node paid for is deleted or expired. Raises StateError if it did not pay for it."""
        self._quotas.drop((*parents(path), path), octets)

    def _check_place(self, path: NodePath, siblings: int) -> None:
        if len(path) > MAX_LEVELS or any(parent not in self._policies for parent in parents(path)):
            raise StateError(f"{'/'.join(path)!r} has no parent in the tree")
        if len(path) == MAX_LEVELS and siblings >= MAX_APPS:
            raise RefusedError(ErrorCode.RATE_LIMITED, f"{path[0]} has {MAX_APPS} applications")

    def _check_storage(self, path: NodePath, policy: ResourcePolicy) -> None:
        if not has_room(policy, holding := self._quotas.holding(path)):
            raise storage_error(path, policy.storage or 0, holding.used)

    def _check_empty(self, path: NodePath) -> None:
        if self._quotas.holding(path) != Holding():
            raise conflict(path)

    def _resolve(self, path: NodePath, configured: ResourcePolicy | None) -> ResourcePolicy | None:
        """The policy that a node has if the provider says this of it."""
        put = self._puts.get(path)
        if put is None or put.over != configured:
            return configured
        return None if put.policy is None else _allowed(put.policy, self.extensions)

    def _settle(self, path: NodePath) -> None:
        """Bring a node and what is below it up to date, and tell of what has changed."""
        is_rooted = all(parent in self._policies for parent in parents(path))
        policy = self._resolve(path, self._configured.get(path)) if is_rooted else None
        if policy is None:
            for app in self.apps(path[0]) if len(path) == 1 else ():
                self._drop((*path, app))
            self._drop(path)
            return
        if policy is not self._configured.get(path):
            policy = self._guarantees.fitting(path, policy, self._policies[path[:-1]])
        self._guarantees.set(path, policy)
        is_new = path not in self._policies
        if is_new or self._policies[path] != policy:
            self._policies[path] = policy
            if len(path) == MAX_LEVELS:
                self._apps.setdefault(path[0], set()).add(path[1])
            self._tell(path, policy)
        if is_new and len(path) == 1:
            for put in self._put_apps.get(path, ()):
                self._settle(put)

    def _settle_guarantees(self, account: NodePath) -> None:
        """Give the applications that have been put what fits, in the order of their names: at every process alike."""
        if Extension.GUARANTEES in self.extensions:
            puts = self._put_apps.get(account, ())
            for path in puts:
                self._guarantees.set(path, None)
            for path in puts:
                self._settle(path)

    def _drop(self, path: NodePath) -> None:
        if self._policies.pop(path, None) is not None:
            self._guarantees.set(path, None)
            if len(path) == MAX_LEVELS:
                self._apps[path[0]].discard(path[1])
            else:
                self._apps.pop(path[0], None)
            self._tell(path, None)

    def _version(self, path: NodePath) -> int | None:
        if len(path) < MAX_LEVELS or self._refresh is None:
            return None
        put = self._puts.get(path)
        return 0 if put is None else put.version

    def _tell(self, path: NodePath, policy: ResourcePolicy | None) -> None:
        self._effective.clear()
        self._connections.clear()
        for listener in self._listeners:
            listener(path, policy)

    def _along(self, path: NodePath) -> list[tuple[NodePath, ResourcePolicy]]:
        if path not in self._policies:
            # It may have been made at another process, not a second ago.
            self.refresh()
        if path not in self._policies:
            raise RefusedError(ErrorCode.CLIENT_NOT_PERMITTED, f"{'/'.join(path)!r} has no resources here")
        return [(node, self._policies[node]) for node in (*parents(path), path)]


def parents(path: NodePath) -> tuple[NodePath, ...]:
    """The nodes above one, from the provider down."""
    return tuple(path[:level] for level in range(len(path)))


def _least(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def has_room(policy: ResourcePolicy | None, holding: Holding) -> bool:
    """Whether a node that holds so much may have this policy; None: whether it may go."""
    if policy is None:
        return holding == Holding()
    return policy.storage is None or holding.used <= policy.storage


def storage_error(path: NodePath, limit: int, used: int) -> RefusedError:
    """There is no room at a node."""
    reason = f"storage of {'/'.join(path) or 'the server'}: {used} of {limit} octets are used"
    return RefusedError(ErrorCode.STORAGE_QUOTA, reason, dimension=Dimension.STORAGE, limit=limit, used=used)


def conflict(path: NodePath) -> RefusedError:
    """A node cannot go."""
    return RefusedError(ErrorCode.CONFLICT, f"{'/'.join(path)!r} holds objects or applications")


def _check_extensions(policy: ResourcePolicy, extensions: Set[str]) -> None:
    """A policy that is not enforced as a whole is not accepted. Raises RefusedError (ATTRIBUTE_NOT_PERMITTED)."""
    refused = []
    if (policy.guaranteed_download or policy.guaranteed_upload) and Extension.GUARANTEES not in extensions:
        refused.append("guarantees")
    if policy.when_full and Extension.EVICT_OWN not in extensions:
        refused.append("eviction")
    if (policy.access or policy.prefixes) and Extension.PUBLIC not in extensions:
        refused.append("public access")
    if refused:
        reason = f"a policy with {', '.join(refused)}: not supported here"
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, reason)
    if policy.prefixes and policy.access is not Access.PUBLIC_RESTRICTED:
        raise RefusedError(ErrorCode.ATTRIBUTE_NOT_PERMITTED, "prefixes restrict what is public-restricted only")


def _allowed(policy: ResourcePolicy, extensions: Set[str]) -> ResourcePolicy:
    """What of a policy goes without the extensions that are off; all of them give more, and none takes away."""
    off: dict[str, None] = {}
    if Extension.EVICT_OWN not in extensions:
        off |= {"when_full": None}
    if Extension.PUBLIC not in extensions:
        off |= {"access": None, "prefixes": None}
    if Extension.GUARANTEES not in extensions:
        off |= {"guaranteed_download": None, "guaranteed_upload": None}
    made: ResourcePolicy = attrs.evolve(policy, **off)  # type: ignore[misc]
    return made
