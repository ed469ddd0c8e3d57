"""Whether a token permits no more than another one: what a chain of delegation, and a server that mints, must keep to.

What a parent bounds a child bounds too, in its own words: a member that is absent bounds nothing, and is wider than any
that is there. Where the two cannot be compared the child is wider.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from decade.claims import Claims
from decade.scope import Collection, Everything, Object, Operation, Publisher, Scope, Target, TokenPolicy
from decade.values import BitRate, IpPrefix, Priority, SignedName, Weight

_NO_POLICY = TokenPolicy()
_NOTHING = Operation(0)


def attenuates(parent: Claims, child: Claims) -> bool:
    """Whether all that the child permits the parent permits too. Who holds them, and who has signed, is not asked."""
    return widening(parent, child) is None


def widening(parent: Claims, child: Claims) -> str | None:
    """The first reason why a child permits more than its parent, None if it does not."""
    if not set(child.aud) <= set(parent.aud):
        return "aud: a server that its parent is not for"
    if child.exp > parent.exp:
        return "exp: later than its parent's"
    if (child.nbf or 0) < (parent.nbf or 0):
        return "nbf: earlier than its parent's"
    if not is_within(parent.scope, child.scope):
        return "scope: more than its parent's"
    one, other = parent.policy or _NO_POLICY, child.policy or _NO_POLICY
    return next((f"{name}: more than its parent's" for name, fits in _MEMBERS if not fits(one, other)), None)


def is_within(parent: Scope, child: Scope) -> bool:
    """Whether each target of a scope has its operations in another one, maybe spread over its entries."""
    return all(
        operations in reduce(or_, (given for above, given in parent if _contains(above, target)), _NOTHING)
        for target, operations in child
    )


def passed_on(scope: Scope) -> Scope:
    """The entries of a scope that its holder may pass on."""
    return tuple(entry for entry in scope if Operation.DELEGATE in entry[1])


def _contains(above: Target, target: Target) -> bool:
    match above, target:
        case Everything(), _:
            return True
        # Which objects a collection has is not to be seen from here.
        case (Object(), Object()) | (Collection(), Collection()):
            return above == target
        case Publisher(name, prefix), Publisher(other, longer):
            return name == other and longer.startswith(prefix)
        case Publisher(name, prefix), Object(SignedName(publisher, label)):
            return name == publisher and label.startswith(prefix)
    return False


def _at_most(parent: int | None, child: int | None) -> bool:
    return parent is None or (child is not None and child <= parent)


def _fits_priority(parent: TokenPolicy, child: TokenPolicy) -> bool:
    # A lower number goes first; a token without a priority has NORMAL.
    first, later = (Priority.NORMAL if one.priority is None else one.priority for one in (parent, child))
    return later >= first


def _fits_bandwidth(parent: TokenPolicy, child: TokenPolicy) -> bool:
    (weight, rate), (own_weight, own_rate) = _terms(parent), _terms(child)
    return own_weight <= weight and _at_most(rate, own_rate)


def _terms(policy: TokenPolicy) -> tuple[int, int | None]:
    """The weight and the ceiling that a bandwidth stands for: 1 and none without it."""
    match policy.bandwidth:
        case Weight(value):
            return value, None
        case BitRate(bps):
            return 1, bps
    return 1, None


def _fits_prefixes(parent: TokenPolicy, child: TokenPolicy) -> bool:
    if parent.ip_prefixes is None:
        return True
    return child.ip_prefixes is not None and all(
        any(_is_subnet(prefix, above) for above in parent.ip_prefixes) for prefix in child.ip_prefixes
    )


def _is_subnet(prefix: IpPrefix, above: IpPrefix) -> bool:
    return prefix.version == above.version and prefix.prefixlen >= above.prefixlen and prefix.network_address in above


def _fits_collections(parent: TokenPolicy, child: TokenPolicy) -> bool:
    """Objects have to be in each of them, so that more of them are fewer objects."""
    return set(parent.collections or ()) <= set(child.collections or ())


def _fits_app_path(parent: TokenPolicy, child: TokenPolicy) -> bool:
    if parent.app_path is None:
        return True
    return child.app_path is not None and child.app_path[: len(parent.app_path)] == parent.app_path


_MEMBERS: tuple[tuple[str, Callable[[TokenPolicy, TokenPolicy], bool]], ...] = (
    ("priority", _fits_priority),
    ("bandwidth", _fits_bandwidth),
    ("amount", lambda parent, child: _at_most(parent.amount, child.amount)),
    ("uses", lambda parent, child: _at_most(parent.uses, child.uses)),
    ("connections", lambda parent, child: _at_most(parent.connections, child.connections)),
    ("storage", lambda parent, child: _at_most(parent.storage, child.storage)),
    ("lifetime", lambda parent, child: _at_most(parent.lifetime, child.lifetime)),
    ("ip-prefix", _fits_prefixes),
    ("collections", _fits_collections),
    ("levels", lambda parent, child: (child.levels or 0) <= (parent.levels or 0)),
    ("app-path", _fits_app_path),
)


def link_fault(parent: Claims, child: Claims) -> str | None:
    """Why a token may not stand below another one in a chain, None if it may: `widening`, and what passing on asks for.

    The parent names its holder, permits to pass on what the child has, and has a level left for it.
    """
    if parent.cnf is None or parent.cnf.key is None:
        return "cnf: its parent has no key of a holder"
    if (reason := widening(parent, child)) is not None:
        return reason
    if not is_within(passed_on(parent.scope), child.scope):
        return "scope: what its parent does not permit to pass on"
    one, other = parent.policy or _NO_POLICY, child.policy or _NO_POLICY
    if (other.levels or 0) >= (one.levels or 0):
        return "levels: none is left for it"
    # The parent and all that is below it are one flow, so that many children have no more of the line than it has.
    shared = (one.bandwidth, one.priority, one.app_path)
    if one.bandwidth is not None and shared != (other.bandwidth, other.priority, other.app_path):
        return "bandwidth: its parent's is shared, with its priority and app-path"
    return None
