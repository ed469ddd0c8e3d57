"""Attenuation, against a model that asks of a token whether it permits a request."""

from ipaddress import ip_address, ip_network

import attrs
import pytest
from decade_tokens import CLAIMS, HELLO, NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.attenuation import attenuates, is_within, link_fault, passed_on, widening
from decade.cose import Ed25519SigningKey
from decade.names import name_of
from decade.scope import Collection, Confirmation, Everything, Object, Operation, Publisher, TokenPolicy
from decade.tokens import Claims
from decade.values import BitRate, Priority, SignedName, Weight

OTHER = name_of(b"other")
LABELS = (b"a", b"ab", b"b")
NAMES = (HELLO, OTHER, *(SignedName(name, label) for name in (HELLO, OTHER) for label in LABELS))
TARGETS = (
    Everything(),
    *map(Object, NAMES),
    Collection(b"one"),
    Collection(b"two"),
    *(Publisher(name, prefix) for name in (HELLO, OTHER) for prefix in (b"", *LABELS)),
)
SERVERS = (SERVER, "https://sa.example", "https://sc.example")
ADDRESSES = tuple(map(ip_address, ("10.0.0.1", "10.0.1.1", "10.1.0.1", "192.0.2.1", "2001:db8::1", "2001:db8:1::1")))
PREFIXES = tuple(
    map(ip_network, ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "::/0", "2001:db8::/32", "2001:db8::/48"))
)
PATHS = ((), ("live",), ("live", "sport"), ("film",))
SMALL = st.integers(0, 4)


def maybe(strategy):
    return st.none() | strategy


POLICIES = st.builds(
    TokenPolicy,
    priority=maybe(st.sampled_from(Priority)),
    bandwidth=maybe(st.builds(Weight, st.integers(1, 3)) | st.builds(BitRate, SMALL)),
    amount=maybe(SMALL),
    uses=maybe(st.integers(1, 4)),
    connections=maybe(st.integers(1, 4)),
    storage=maybe(SMALL),
    lifetime=maybe(SMALL),
    ip_prefixes=maybe(st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=2).map(tuple)),
    collections=maybe(st.lists(st.sampled_from([b"one", b"two"]), min_size=1, max_size=2).map(tuple)),
    levels=maybe(st.integers(0, 3)),
    app_path=maybe(st.sampled_from(PATHS)),
)
OPERATIONS = (Operation.GET, Operation.PUT, Operation.DELEGATE)
SOME = st.sets(st.sampled_from(OPERATIONS)).map(lambda some: Operation(sum(some)))
SCOPES = st.lists(st.tuples(st.sampled_from(TARGETS), SOME), min_size=1, max_size=3).map(tuple)
ANY = st.builds(
    Claims,
    aud=st.lists(st.sampled_from(SERVERS), min_size=1, max_size=2, unique=True).map(tuple),
    exp=st.integers(NOW + 1, NOW + 3),
    iat=st.just(NOW),
    cti=st.just(bytes(16)),
    scope=SCOPES,
    policy=maybe(POLICIES),
    nbf=maybe(st.integers(NOW, NOW + 2)),
)


@st.composite
def pairs(draw):
    """Two tokens; each member of the second is its own, or more often that of the first."""
    one, other = draw(ANY), draw(ANY)
    parts = {name: getattr(one, name) for name in ("aud", "exp", "scope", "nbf") if draw(st.integers(0, 3))}
    policy = other.policy
    if one.policy is not None:
        names = [field.name for field in attrs.fields(TokenPolicy) if field.name != "ext" and draw(st.integers(0, 5))]
        policy = attrs.evolve(policy or TokenPolicy(), **{name: getattr(one.policy, name) for name in names})
    return one, attrs.evolve(other, policy=policy, **parts)


def reach(target, name):
    """Whether a target has an object, by its name alone."""
    match target, name:
        case Everything(), _:
            return True
        case Object(own), _:
            return own == name
        case Publisher(publisher, prefix), SignedName(signer, label):
            return publisher == signer and label.startswith(prefix)
    return False


def permits(claims, request):
    """Whether a token permits a request, said in the words of the profile and none of `decade.attenuation`."""
    policy = claims.policy or TokenPolicy()
    weight = policy.bandwidth.value if isinstance(policy.bandwidth, Weight) else 1
    rate = policy.bandwidth.bps if isinstance(policy.bandwidth, BitRate) else 99
    bounds = {
        "amount": policy.amount,
        "uses": policy.uses,
        "connections": policy.connections,
        "storage": policy.storage,
        "lifetime": policy.lifetime,
    }
    if request["name"] is None:
        is_reached = any(target == Everything() and request["operation"] in ops for target, ops in claims.scope)
    elif isinstance(request["name"], bytes):
        held = (Everything(), Collection(request["name"]))
        is_reached = any(target in held and request["operation"] in ops for target, ops in claims.scope)
    else:
        is_reached = any(reach(target, request["name"]) and request["operation"] in ops for target, ops in claims.scope)
    return (
        is_reached
        and request["server"] in claims.aud
        and (claims.nbf or 0) <= request["time"] < claims.exp
        and request["priority"] >= (Priority.NORMAL if policy.priority is None else policy.priority)
        and request["weight"] <= weight
        and request["rate"] <= rate
        and all(bound is None or request[name] <= bound for name, bound in bounds.items())
        and (policy.ip_prefixes is None or any(request["address"] in prefix for prefix in policy.ip_prefixes))
        and set(policy.collections or ()) <= request["stamps"]
        and request["levels"] <= (policy.levels or 0)
        and (policy.app_path is None or request["app"][: len(policy.app_path)] == policy.app_path)
    )


@st.composite
def requests(draw, claims):
    """A request that a token permits, if it permits any: at the edge of each bound, or within it."""
    policy = claims.policy or TokenPolicy()
    target, operations = draw(st.sampled_from(claims.scope))
    names = [name for name in NAMES if reach(target, name)]
    if isinstance(target, Everything):
        names += [None, b"one", b"two"]
    if isinstance(target, Collection):
        names = [target.name]
    prefixes = policy.ip_prefixes or PREFIXES
    start = claims.nbf or NOW

    def most(bound, highest):
        return highest if bound is None else draw(st.sampled_from([bound, bound // 2]))

    return {
        "name": draw(st.sampled_from(names or [HELLO])),
        "operation": draw(st.sampled_from([one for one in OPERATIONS if one in operations] or OPERATIONS)),
        "server": draw(st.sampled_from(claims.aud)),
        "time": draw(st.sampled_from([start, claims.exp - 1])),
        "priority": Priority.NORMAL if policy.priority is None else policy.priority,
        "weight": policy.bandwidth.value if isinstance(policy.bandwidth, Weight) else 1,
        "rate": policy.bandwidth.bps if isinstance(policy.bandwidth, BitRate) else 99,
        "amount": most(policy.amount, 99),
        "uses": most(policy.uses, 99),
        "connections": most(policy.connections, 99),
        "storage": most(policy.storage, 99),
        "lifetime": most(policy.lifetime, 99),
        "address": draw(st.sampled_from([one for one in ADDRESSES if any(one in prefix for prefix in prefixes)])),
        "stamps": set(policy.collections or ()) | draw(st.sets(st.sampled_from([b"one", b"two"]))),
        "levels": policy.levels or 0,
        "app": (policy.app_path or ()) + draw(st.sampled_from([(), ("sport",)])),
    }


@given(pairs(), st.data())
def test_whatever_a_child_permits_its_parent_permits(tokens, data):
    parent, child = tokens
    if attenuates(parent, child):
        for _ in range(5):
            asked = data.draw(requests(child))
            assert permits(parent, asked) or not permits(child, asked), asked


@given(pairs())
def test_a_child_that_is_refused_for_a_bound_has_a_wider_one(tokens):
    """No member is refused that is the same as its parent's."""
    parent, child = tokens
    reason = widening(parent, child)
    if reason is not None and not reason.startswith("scope"):
        name = {"ip-prefix": "ip_prefixes", "app-path": "app_path"}.get(
            reason.partition(":")[0], reason.partition(":")[0]
        )
        of = (lambda one: one) if name in ("aud", "exp", "nbf") else (lambda one: one.policy or TokenPolicy())
        assert getattr(of(parent), name) != getattr(of(child), name)


@given(SCOPES, SCOPES)
def test_a_scope_is_within_another_one_if_all_that_it_permits_is(parent, child):
    for target, operations in child:
        for name in (None, b"one", b"two", *NAMES):
            for operation in OPERATIONS:
                asked = {"name": name, "operation": operation}
                if is_within(parent, child) and operation in operations and _has(((target, operations),), asked):
                    assert _has(parent, asked)


def _has(scope, asked):
    held = (Everything(),) if asked["name"] is None else (Everything(), Collection(asked["name"]))
    by_name = asked["name"] is not None and not isinstance(asked["name"], bytes)
    return any(
        asked["operation"] in ops and (reach(target, asked["name"]) if by_name else target in held)
        for target, ops in scope
    )


@given(ANY)
def test_a_token_attenuates_itself(claims):
    assert attenuates(claims, claims)


@given(pairs(), ANY, st.data())
def test_attenuation_is_transitive(tokens, third, data):
    parent, child = tokens
    names = [name for name in ("aud", "exp", "scope", "nbf", "policy") if data.draw(st.integers(0, 3))]
    grandchild = attrs.evolve(third, **{name: getattr(child, name) for name in names})
    if attenuates(parent, child) and attenuates(child, grandchild):
        assert attenuates(parent, grandchild)


@pytest.mark.parametrize(
    ("parent", "child", "reason"),
    [
        ({"aud": SERVERS[:1]}, {"aud": SERVERS[:2]}, "aud"),
        ({"exp": NOW + 1}, {"exp": NOW + 2}, "exp"),
        ({"nbf": NOW + 1}, {}, "nbf"),
        ({"scope": ((Object(HELLO), Operation.GET),)}, {"scope": ((Everything(), Operation.GET),)}, "scope"),
        ({"scope": ((Collection(b"c"), Operation.GET),)}, {"scope": ((Object(HELLO), Operation.GET),)}, "scope"),
        ({"policy": TokenPolicy(amount=1)}, {}, "amount"),
        ({"policy": TokenPolicy(uses=1)}, {"policy": TokenPolicy(uses=2)}, "uses"),
        ({}, {"policy": TokenPolicy(bandwidth=Weight(2))}, "bandwidth"),
        ({}, {"policy": TokenPolicy(priority=Priority.HIGH)}, "priority"),
        ({"policy": TokenPolicy(priority=Priority.LOW)}, {}, "priority"),
        (
            {"policy": TokenPolicy(ip_prefixes=PREFIXES[2:3])},
            {"policy": TokenPolicy(ip_prefixes=PREFIXES[1:2])},
            "ip-prefix",
        ),
        (
            {"policy": TokenPolicy(ip_prefixes=PREFIXES[4:5])},
            {"policy": TokenPolicy(ip_prefixes=PREFIXES[3:4])},
            "ip-prefix",
        ),
        ({"policy": TokenPolicy(collections=(b"c",))}, {}, "collections"),
        ({}, {"policy": TokenPolicy(levels=1)}, "levels"),
        ({"policy": TokenPolicy(app_path=("a",))}, {"policy": TokenPolicy(app_path=("b", "a"))}, "app-path"),
    ],
)
def test_the_first_reason_is_named(parent, child, reason):
    plain = attrs.evolve(CLAIMS, policy=None)
    assert widening(attrs.evolve(plain, **parent), attrs.evolve(plain, **child)).startswith(reason)


def test_a_scope_may_be_spread_over_entries_of_the_parent():
    parent = ((Publisher(HELLO, b"a"), Operation.GET), (Publisher(HELLO), Operation.PUT))
    assert is_within(parent, ((Object(SignedName(HELLO, b"ab")), Operation.GET | Operation.PUT),))
    assert not is_within(parent, ((Object(SignedName(HELLO, b"b")), Operation.GET),))
    assert not is_within(parent, ((Object(HELLO), Operation.PUT),))
    assert is_within(parent, ((Object(HELLO), Operation(0)),))


def test_below_a_token_with_a_bandwidth_its_flow_is_shared():
    key = Ed25519SigningKey(bytes(32)).public.cose_key
    policy = TokenPolicy(levels=2, bandwidth=BitRate(8), priority=Priority.LOW)
    scope = ((Everything(), Operation.GET | Operation.DELEGATE),)
    parent = attrs.evolve(CLAIMS, policy=policy, scope=scope, cnf=Confirmation(key=key))
    same = attrs.evolve(parent, policy=attrs.evolve(policy, levels=1))
    assert passed_on(scope) == scope
    assert link_fault(parent, same) is None
    slower = attrs.evolve(parent, policy=attrs.evolve(policy, levels=1, bandwidth=BitRate(7)))
    assert attenuates(parent, slower)
    assert link_fault(parent, slower).startswith("bandwidth")
