"""The fixed order of refusals, what each step leaves behind, and who may do what."""

import random
from collections import Counter
from collections.abc import Callable
from functools import reduce
from itertools import combinations
from operator import or_

import attrs
import pytest
from decade_tokens import ACCOUNT, CLAIMS, HELLO, LIFE, MAC, NOW, REGISTERED, SERVER, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade.authz import (
    FORGET_EVERY,
    PRECEDENCE,
    Admission,
    Gate,
    Permission,
    Question,
    Step,
    check_scope,
)
from decade.errors import Dimension, ErrorCode, RefusedError, StateError
from decade.ledger import MemoryLedger, MemoryQuotas
from decade.messages import ResourcePolicy, Revocation
from decade.names import name_of
from decade.peer_failures import FAILURES_PER_SECOND, MAX_FAILURES, MAX_PEERS, PeerFailures
from decade.policy import PolicyTree, Reservation
from decade.ports import Allowance, NodePath, Use
from decade.scope import Everything, Object, Operation, Target, TokenPolicy
from decade.slots import ConnectionSlots
from decade.token_cache import VerifiedTokenCache
from decade.tokens import SKEW, Claims, RegisteredKey, mint
from decade.uses import UseState
from decade.values import BitRate
from decade.waiting import Clock, begin

NOW_1 = NOW + 1.0
OTHER = name_of(b"another object")
ALL = attrs.evolve(
    CLAIMS, scope=((Everything(), Operation.GET | Operation.PUT),), policy=TokenPolicy(uses=2, amount=50)
)


class World:
    """A gate and everything behind it."""

    def __init__(self, keys: dict[bytes, RegisteredKey] = REGISTERED) -> None:
        self.ledger = MemoryLedger()
        self.tree = PolicyTree(MemoryQuotas())
        self.tree.put((ACCOUNT,), ResourcePolicy(weight=1, connections=2, storage=100))
        self.tree.put((ACCOUNT, "live"), ResourcePolicy(weight=1))
        self.is_overloaded = False
        self.refusal: ErrorCode | None = None
        self.cache = VerifiedTokenCache(keys.get, audience=SERVER, max_life=LIFE)
        self.gate = Gate(
            tokens=self.cache,
            ledger=self.ledger,
            tree=self.tree,
            slots=ConnectionSlots(),
            max_life=LIFE,
            is_overloaded=lambda: self.is_overloaded,
            local_policy=lambda question, token: self.refusal,
        )

    def admit(self, permission: Permission, *, moved: int, stored: int = 0) -> Admission:
        admission = begin(self.gate.admit(permission, Clock(1.0), moved=moved, stored=stored))
        assert isinstance(admission, Admission)
        return admission

    def revoke(self, node: NodePath, revocation: Revocation, *, wall: float) -> None:
        begin(self.gate.revoke(node, revocation, Clock(1.0), wall=wall))

    def permit(
        self, claims: Claims | bytes | None = ALL, operation: Operation = Operation.GET, *, wall: float = NOW_1
    ) -> Permission:
        token = mint(claims, MAC) if isinstance(claims, Claims) else claims
        question = Question(operation=operation, names=(HELLO,), token=token, peer="192.0.2.1")
        return self.gate.permit(question, now=1.0, wall=wall)


def code_of(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RefusedError) as found:
        call()
    return found.value.code


def test_a_good_token_is_permitted_and_charges_the_node_of_its_key() -> None:
    world = World()
    permission = world.permit()
    assert (permission.account, permission.path, permission.effective.storage) == (ACCOUNT, (ACCOUNT,), 100)
    assert permission.policy == ALL.policy
    by_app = world.permit(mint(attrs.evolve(ALL, policy=None), SIGNING))
    assert (by_app.path, by_app.policy) == ((ACCOUNT, "live"), TokenPolicy())


def _overload(world: World, claims: Claims) -> Claims:
    world.is_overloaded = True
    return claims


def _audience(world: World, claims: Claims) -> Claims:
    return attrs.evolve(claims, aud=("https://elsewhere.example",))


def _expire(world: World, claims: Claims) -> Claims:
    return attrs.evolve(claims, iat=NOW - 999, exp=NOW - 500)


def _revoke(world: World, claims: Claims) -> Claims:
    world.ledger.revoke((ACCOUNT,), Revocation(cti=(claims.cti,)), wall=NOW, until=NOW + 9999)
    return claims


def _use_up(world: World, claims: Claims) -> Claims:
    key = (MAC.thumbprint, claims.cti)
    world.ledger.hold(ACCOUNT, key, Allowance(), Use(2), NOW + 9999)
    return claims


def _operation(world: World, claims: Claims) -> Claims:
    return attrs.evolve(claims, scope=((Object(OTHER), Operation.PUT),))


def _object(world: World, claims: Claims) -> Claims:
    if not any(Operation.GET in operations for _, operations in claims.scope):
        return claims
    return attrs.evolve(claims, scope=((Object(OTHER), Operation.GET),))


def _local(world: World, claims: Claims) -> Claims:
    world.refusal = ErrorCode.LEGAL_BLOCK
    return claims


FAULTS: list[tuple[ErrorCode, Callable[[World, Claims], Claims]]] = [
    (ErrorCode.OVERLOADED, _overload),
    (ErrorCode.WRONG_AUDIENCE, _audience),
    (ErrorCode.TOKEN_EXPIRED, _expire),
    (ErrorCode.TOKEN_REVOKED, _revoke),
    (ErrorCode.TOKEN_USED_UP, _use_up),
    (ErrorCode.OP_NOT_PERMITTED, _operation),
    (ErrorCode.OBJECT_NOT_PERMITTED, _object),
    (ErrorCode.LEGAL_BLOCK, _local),
]


@pytest.mark.parametrize("size", range(1, len(FAULTS) + 1))
def test_of_any_faults_the_first_in_the_order_is_answered_and_nothing_changes(size: int) -> None:
    for faults in combinations(FAULTS, size):
        world, claims = World(), ALL
        for _, make in faults:
            claims = make(world, claims)
        used = world.ledger.used((MAC.thumbprint, claims.cti))
        assert code_of(lambda world=world, claims=claims: world.permit(claims)) is faults[0][0]  # type: ignore[misc]
        assert world.ledger.used((MAC.thumbprint, claims.cti)) == used
        assert len(world.gate.slots) == 0


def test_the_table_is_in_the_order_of_the_steps() -> None:
    steps = [step for step, _ in PRECEDENCE]
    assert steps == sorted(steps)
    assert set(steps) == {Step.OVERLOAD, Step.TOKEN, Step.PERMISSION}


def test_without_a_token_the_answer_is_the_same_whatever_is_asked() -> None:
    world = World()
    world.refusal = ErrorCode.LEGAL_BLOCK
    assert code_of(lambda: world.permit(None)) is ErrorCode.TOKEN_MISSING


def test_the_key_of_a_node_that_was_removed_has_no_resources() -> None:
    world = World()
    world.tree.remove((ACCOUNT, "live"))
    assert code_of(lambda: world.permit(mint(ALL, SIGNING))) is ErrorCode.CLIENT_NOT_PERMITTED


TARGETS: list[Target] = [Everything(), Object(HELLO), Object(OTHER)]
OPERATIONS = [Operation.GET, Operation.PUT, Operation.LIST]


@given(
    st.lists(st.tuples(st.sampled_from(TARGETS), st.sets(st.sampled_from(OPERATIONS))), min_size=1, max_size=4),
    st.sampled_from(OPERATIONS),
    st.lists(st.sampled_from([HELLO, OTHER]), max_size=2),
)
def test_a_scope_permits_what_one_of_its_entries_says_for_each_object(entries, operation, names) -> None:  # type: ignore[no-untyped-def]
    scope = tuple((target, reduce(or_, operations, Operation(0))) for target, operations in entries)
    pairs = [(target, one) for target, operations in entries for one in operations]
    if not any(one is operation for _, one in pairs):
        expected = ErrorCode.OP_NOT_PERMITTED
    elif (Everything(), operation) in pairs or (names and all((Object(name), operation) in pairs for name in names)):
        expected = None
    else:
        expected = ErrorCode.OBJECT_NOT_PERMITTED
    if expected is None:
        check_scope(scope, operation, tuple(names))
    else:
        assert code_of(lambda: check_scope(scope, operation, tuple(names))) is expected


def test_what_is_admitted_is_held_and_given_back_when_nothing_was_sent() -> None:
    world = World()
    permission = world.permit()
    admission = world.admit(permission, moved=30)
    assert world.ledger.used(permission.token.ledger_key) == Use(1, 30)
    assert world.gate.slots.count((ACCOUNT,)) == 1
    admission.end()
    assert world.ledger.used(permission.token.ledger_key) == Use()
    assert len(world.gate.slots) == 0
    admission.end()


def test_what_was_sent_is_spent_and_the_rest_is_returned() -> None:
    world = World()
    permission = world.permit()
    admission = world.admit(permission, moved=30)
    admission.start()
    with pytest.raises(StateError):
        admission.start()
    admission.end(moved=7)
    assert world.ledger.used(permission.token.ledger_key) == Use(1, 7)
    assert len(world.gate.slots) == 0


def test_a_token_that_is_revoked_while_it_is_held_sends_nothing() -> None:
    world = World()
    permission = world.permit()
    admission = world.admit(permission, moved=30)
    world.revoke((ACCOUNT,), Revocation(cti=(ALL.cti,)), wall=NOW)
    assert code_of(admission.start) is ErrorCode.TOKEN_REVOKED
    assert admission.use.state is UseState.REVOKED
    admission.end()
    assert world.ledger.used(permission.token.ledger_key) == Use()
    assert len(world.gate.slots) == 0


@pytest.mark.parametrize(
    ("policy", "moved", "code"),
    [
        (TokenPolicy(uses=1, amount=9), 10, ErrorCode.AMOUNT_EXHAUSTED),
        (TokenPolicy(uses=1, amount=9), 9, ErrorCode.TOO_MANY_CONNECTIONS),
        (TokenPolicy(uses=1, connections=1), 9, ErrorCode.TOO_MANY_CONNECTIONS),
        (TokenPolicy(uses=1, bandwidth=BitRate(0)), 9, ErrorCode.RATE_LIMITED),
    ],
)
def test_admission_has_an_order_and_a_refusal_holds_nothing(policy: TokenPolicy, moved: int, code: ErrorCode) -> None:
    world = World()
    if code is ErrorCode.TOO_MANY_CONNECTIONS or moved == 10:
        for number in range(2):
            other = attrs.evolve(ALL, policy=None, cti=bytes([number]) * 16)
            world.admit(world.permit(other), moved=0)
    count = len(world.gate.slots)
    permission = world.permit(attrs.evolve(ALL, policy=policy))
    assert code_of(lambda: world.admit(permission, moved=moved)) is code
    assert world.ledger.used(permission.token.ledger_key) == Use()
    assert len(world.gate.slots) == count


def test_a_token_has_no_more_connections_than_it_says() -> None:
    world = World()
    permission = world.permit(attrs.evolve(ALL, policy=TokenPolicy(connections=1)))
    first = world.admit(permission, moved=0)
    with pytest.raises(RefusedError) as found:
        world.admit(permission, moved=0)
    assert (found.value.dimension, found.value.limit) == (Dimension.CONNECTIONS, 1)
    first.end()
    world.admit(permission, moved=0)


def test_a_ceiling_of_nothing_is_refused_in_its_direction_only() -> None:
    world = World()
    world.tree.put((ACCOUNT,), ResourcePolicy(weight=1, ceiling_download=0))
    reading, writing = world.permit(), world.permit(operation=Operation.PUT)
    assert code_of(lambda: world.admit(reading, moved=1)) is ErrorCode.RATE_LIMITED
    world.admit(reading, moved=0).end()
    world.admit(writing, moved=1, stored=1).end()


@pytest.mark.parametrize("revocation", [Revocation(cti=(ALL.cti,)), Revocation(before=NOW), Revocation(kid=MAC.kid)])
def test_a_verified_token_that_is_remembered_is_still_asked_whether_it_is_revoked(revocation: Revocation) -> None:
    world = World()
    world.permit()
    world.ledger.revoke((ACCOUNT,), revocation, wall=NOW, until=NOW + 9999)
    assert len(world.cache) == 1
    assert code_of(world.permit) is ErrorCode.TOKEN_REVOKED


def test_a_revocation_lasts_as_long_as_any_clock_accepts_its_token() -> None:
    world = World()
    latest = attrs.evolve(ALL, iat=NOW + SKEW, exp=NOW + SKEW + LIFE)
    world.revoke((ACCOUNT,), Revocation(cti=(ALL.cti,)), wall=NOW)
    for wall in (NOW, NOW + LIFE, latest.exp + SKEW - 1):
        assert code_of(lambda wall=wall: world.permit(latest, wall=wall)) is ErrorCode.TOKEN_REVOKED  # type: ignore[misc]
    assert code_of(lambda: world.permit(latest, wall=latest.exp + SKEW)) is ErrorCode.TOKEN_EXPIRED


def test_a_clock_that_is_set_back_revives_no_token_that_was_used_up() -> None:
    world = World()
    world.admit(world.permit(), moved=0).start()
    for wall in (NOW_1, ALL.exp + SKEW + FORGET_EVERY, NOW_1):
        with pytest.raises(RefusedError):
            world.admit(world.permit(attrs.evolve(ALL, policy=TokenPolicy(uses=1)), wall=wall), moved=0)
    assert code_of(lambda: world.permit(wall=NOW_1)) is ErrorCode.TOKEN_EXPIRED


def test_an_address_with_many_bad_tokens_waits_and_others_do_not() -> None:
    world = World()
    for _ in range(MAX_FAILURES):
        assert code_of(lambda: world.permit(b"junk")) is ErrorCode.TOKEN_MALFORMED
    with pytest.raises(RefusedError) as found:
        world.permit()
    assert found.value.code is ErrorCode.RATE_LIMITED
    assert found.value.retry_after == pytest.approx(1 / FAILURES_PER_SECOND)
    other = Question(operation=Operation.GET, names=(HELLO,), token=mint(ALL, MAC), peer="192.0.2.2")
    world.gate.permit(other, now=1.0, wall=NOW_1)
    late = attrs.evolve(other, peer="192.0.2.1")
    world.gate.permit(late, now=1.0 + 1.01 / FAILURES_PER_SECOND, wall=NOW_1)


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    failures = PeerFailures()
    for _ in range(MAX_FAILURES):
        failures.count("first", 0.0)
    assert code_of(lambda: failures.check("first", 0.0)) is ErrorCode.RATE_LIMITED
    for number in range(MAX_PEERS):
        failures.count(str(number), 0.0)
    failures.check("first", 0.0)


def test_the_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    failures = PeerFailures()
    for number in range(MAX_FAILURES):
        failures.count(f"2001:db8:0:1:{number:x}::1", 0.0)
    assert code_of(lambda: failures.check("2001:db8:0:1:ffff::", 0.0)) is ErrorCode.RATE_LIMITED
    for other in ("2001:db8:0:2::1", "192.0.2.1", ""):
        failures.check(other, 0.0)
    for _ in range(MAX_FAILURES):
        failures.count("::ffff:192.0.2.1", 0.0)
    assert code_of(lambda: failures.check("192.0.2.1", 0.0)) is ErrorCode.RATE_LIMITED


def test_a_question_does_not_show_its_token() -> None:
    assert "secret" not in repr(Question(operation=Operation.GET, names=(), token=b"secret", peer=""))


def test_ten_thousand_interleaved_requests_keep_every_limit_and_a_refused_one_leaves_nothing() -> None:
    chance, world = random.Random(69), World()
    world.tree.put((ACCOUNT,), ResourcePolicy(weight=1, connections=3, storage=900))
    policy = TokenPolicy(uses=95, amount=6000, storage=1500, connections=2)
    tokens = [mint(attrs.evolve(ALL, policy=policy, cti=bytes([number]) * 16), MAC) for number in range(20)]
    running: list[tuple[Admission, Reservation | None, int]] = []
    outcomes: Counter[ErrorCode | None] = Counter()
    rows: list[int] = []

    def state() -> tuple[object, ...]:
        used = [world.ledger.used((MAC.thumbprint, bytes([number]) * 16)) for number in range(20)]
        return *used, world.tree.holding((ACCOUNT,)), len(world.gate.slots)

    for _ in range(10_000):
        while running and chance.random() < 0.5:
            admission, kept, size = running.pop(chance.randrange(len(running)))
            is_done = chance.random() < 0.7
            if is_done:
                admission.start()
            if kept is not None and is_done and chance.random() < 0.5:
                kept.commit()
                rows.append(size)
                admission.end(moved=size, stored=size)
            else:
                if kept is not None:
                    kept.release()
                admission.end(moved=chance.randrange(size + 1) if is_done else 0)
        is_put, size, before = chance.random() < 0.3, chance.randrange(300), state()
        operation = Operation.PUT if is_put else chance.choice((Operation.GET, Operation.GET, Operation.LIST))
        kept = None
        try:
            permission = world.permit(chance.choice(tokens), operation)
            kept = world.tree.reserve(permission.path, size) if is_put else None
            admission = world.admit(permission, moved=size, stored=size if is_put else 0)
        except RefusedError as refused:
            outcomes[refused.code] += 1
            if kept is not None:
                kept.release()
            assert state() == before
            continue
        outcomes[None] += 1
        running.append((admission, kept, size))
        if rows and chance.random() < 0.04:
            world.tree.drop((ACCOUNT,), rows.pop())
        held = world.tree.holding((ACCOUNT,))
        assert (held.stored, held.objects) == (sum(rows), len(rows))
        assert held.used <= 900
        assert world.gate.slots.count((ACCOUNT,)) == len(running) <= 3
    wanted = {None, ErrorCode.OP_NOT_PERMITTED, ErrorCode.STORAGE_QUOTA, ErrorCode.TOO_MANY_CONNECTIONS}
    assert {ErrorCode.TOKEN_USED_UP, ErrorCode.AMOUNT_EXHAUSTED, *wanted} <= outcomes.keys()
    for admission, kept, _ in running:
        admission.end()
        if kept is not None:
            kept.release()
    assert world.tree.holding((ACCOUNT,)).reserved == 0
    assert len(world.gate.slots) == 0


def test_a_ledger_that_knows_nothing_of_a_use_keeps_no_connection() -> None:
    world = World()
    permission = world.permit()
    admission = world.admit(permission, moved=30)
    world.ledger.give_back(permission.token.ledger_key, Use(0, 30))
    with pytest.raises(StateError):
        admission.end()
    assert len(world.gate.slots) == 0
