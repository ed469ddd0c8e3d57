"""What of the values that others are to have is sent, and when it is sent again (RFC 6940 section 7.4.1.1)."""

import attrs
from reload_keepers import Site, World, at, forbid
from reload_storing import ALICE, DICTIONARY, HOME, SINGLE, item, of, signed, there

from reload._backlog import FIRST_PAUSE
from reload._presentation import decode
from reload._shipping import MAX_OFFERS
from reload.contents import ErrorCode, ErrorResponse
from reload.exchange import Failure, Response
from reload.naming import resource_id
from reload.null_security import NullSigner
from reload.replication import SETTLE_TIME
from reload.storage_messages import DictionarySpecifier, FetchAns, FetchKindResponse, FetchReq, StoreReq

LONG = 1_000_000


def store(world: World, user: NullSigner, name: str) -> bytes:
    """A value of this user at the resource of its name, at who is responsible."""
    resource = resource_id(name.encode())
    value = signed(SINGLE, there(b"v"), time=1, lifetime=LONG, by=user, at=resource)
    owner = next(site for site in world.sites.values() if site.placement.is_responsible(resource))
    world.write(owner.number, resource, of(SINGLE, value), by=user)
    return resource


def user(number: int, *, certificate_size: int = 0) -> tuple[NullSigner, str]:
    name = f"user{number}@example.org"
    return NullSigner(bytes([0xC0, number]) * 8, name, certificate_size=certificate_size), name


def test_values_that_fit_no_message_are_sent_to_nobody_and_keep_no_others_waiting() -> None:
    world = World(5, 6, 7)
    largest = world.sites[5].configuration.max_message_size
    heavy = [store(world, *user(number, certificate_size=largest - 100)) for number in range(30)]
    light = [store(world, *user(number)) for number in range(100, 130)]
    world.run(FIRST_PAUSE - 1)
    assert [len(world.holders(each)) for each in light] == [3] * 30
    assert [len(world.holders(each)) for each in heavy] == [1] * 30
    assert not any(sent.body.resource in heavy for sent in world.sent)
    assert all(site.keeper.pending == 0 for site in world.up())


def test_a_hand_over_does_not_wait_for_a_value_that_fits_no_message() -> None:
    world = World(5, 6)
    largest = world.sites[5].configuration.max_message_size
    store(world, *user(1, certificate_size=largest))
    handles = [site.keeper.hand_over(other.node_id, lambda _: True, 0.0) for site, other in _both(world)]
    world.run(1)
    assert [site.keeper.handed_over() for site, _ in _both(world)] == [[handle] for handle in handles]
    assert world.sent == []


def _both(world: World) -> list[tuple]:  # type: ignore[type-arg]
    return [(world.sites[5], world.sites[6]), (world.sites[6], world.sites[5])]


def test_two_values_of_one_time_stay_where_they_are_and_are_not_sent_again_and_again() -> None:
    world = World(1, 5, 6)
    for number in (1, 5, 6):
        world.sites[number].knows(number)
    for number, octets in ((5, b"one"), (6, b"other")):
        value = signed(SINGLE, there(octets), time=7, lifetime=LONG, by=ALICE)
        world.write(number, HOME, of(SINGLE, value), by=ALICE)
    world.all_know()
    world.run(2)
    assert all(site.keeper.pending == 0 for site in world.up())
    world.sent.clear()
    world.run(1000)
    assert not any(isinstance(sent.body, StoreReq) and sent.receiver == 6 for sent in world.sent)
    assert world.holders(HOME) == [1, 5, 6]
    assert world.sites[5].holds(HOME) != world.sites[6].holds(HOME)


def test_newer_values_that_fit_no_answer_together_are_fetched_in_parts() -> None:
    world = World(5, 6)
    for number in (5, 6):
        world.sites[number].knows(number)
    for number, newer in ((5, b"abc"), (6, b"d")):
        for key in (b"a", b"b", b"c", b"d"):
            time = 9 if key in newer else 1
            value = signed(DICTIONARY, item(key, b"of %d" % number), time=time, lifetime=LONG)
            world.write(number, HOME, of(DICTIONARY, value), by=ALICE)

    def refuse(sender: object, receiver: object, body: object) -> ErrorResponse | None:
        if not isinstance(body, FetchReq):
            return None
        (wanted,) = body.specifiers
        keys = decode(DictionarySpecifier, wanted.model_specifier).keys
        return ErrorResponse(ErrorCode.RESPONSE_TOO_LARGE) if len(keys) > 1 else None

    world.refuse = refuse
    world.all_know()
    world.run(FIRST_PAUSE)
    held = world.sites[5].holds(HOME)
    assert world.sites[6].holds(HOME) == held
    assert [b"of 5" in each for each in held].count(True) == 3
    assert all(site.keeper.pending == 0 for site in world.up())


def test_of_an_answer_only_what_was_asked_for_is_taken() -> None:
    world = World(5, 6)
    for number, time in ((5, 1), (6, 2)):
        world.sites[number].knows(number)
        value = signed(SINGLE, there(b"of %d" % number), time=time, lifetime=LONG)
        world.write(number, HOME, of(SINGLE, value), by=ALICE)
    unasked = signed(DICTIONARY, item(b"k", b"v"), time=1, lifetime=LONG)
    real = world.sites[6].storage.fetch

    def fetch(request: FetchReq, now: float) -> object:
        answer = real(request, now)
        more = FetchKindResponse(DICTIONARY.id, 1, (unasked,))
        return attrs.evolve(answer, body=FetchAns((*answer.body.kind_responses, more)))  # type: ignore[union-attr, call-overload]

    world.sites[6].storage.fetch = fetch  # type: ignore[assignment, method-assign]
    world.all_know()
    world.run(FIRST_PAUSE)
    (held,) = world.sites[5].holds(HOME)
    assert b"of 6" in held


def test_who_has_missed_a_change_while_it_was_held_back_gets_it_afterwards() -> None:
    world = World(1, 3, 5, 6, 7, 9)
    write(world, b"old", time=1)
    site = world.sites[5]
    site.placement.held_back = {at(7)}
    write(world, b"new", time=2)
    site.placement.held_back = set()
    site.keeper.placement_changed(world.now)
    world.run(1)
    assert world.sites[7].holds(HOME) == world.sites[6].holds(HOME) == site.holds(HOME)


def write(world: World, octets: bytes, *, time: int) -> None:
    world.write(5, HOME, of(SINGLE, signed(SINGLE, there(octets), time=time, lifetime=LONG)), by=ALICE)
    world.run(1)


def test_who_was_out_of_the_replica_set_and_is_back_gets_what_it_may_have_forgotten() -> None:
    world = World(1, 3, 5, 7, 9)
    write(world, b"v", time=1)
    world.sites[6] = Site(world, 6)
    world.all_know()
    world.run(2 * SETTLE_TIME)
    assert world.holders(HOME) == [5, 6, 7]
    world.fail(6)
    world.run(1)
    assert world.holders(HOME) == [5, 7, 9]


def test_a_neighbor_that_forbids_the_way_to_a_peer_is_not_taken_for_the_peer() -> None:
    """Neighbor 7 has the replica; a hand-over to 5 is not done for that."""
    world = World(1, 3, 6, 7, 9)
    world.write(6, HOME, of(SINGLE, signed(SINGLE, there(b"v"), time=1, lifetime=LONG)), by=ALICE)
    world.run(1)
    world.sites[5] = Site(world, 5)
    world.sites[5].knows(*world.sites)
    world.refuse = forbid([5])
    real = world.outcome

    def outcome(transaction: int, code: int, reply: object, receiver: Site) -> Response | Failure:
        made = real(transaction, code, reply, receiver)
        return attrs.evolve(made, identity=world.sites[7].identity) if isinstance(made, Failure) else made

    world.outcome = outcome  # type: ignore[method-assign]
    world.sites[6].placement.peers = [at(number) for number in world.sites]
    world.sent.clear()
    world.sites[6].keeper.hand_over(at(5), lambda _: True, world.now)
    world.run(1)
    assert not any(isinstance(sent.body, FetchReq) for sent in world.sent)
    assert world.sites[6].keeper.handed_over() == []


def halves(*far: int) -> World:
    """Peers that know each other and have Alice's first value, and others, each alone with her second."""
    world = World(5, 6, 7, 8, *far)
    near = {site.number for site in world.sites.values()} - set(far)
    for site in world.sites.values():
        site.knows(*(near if site.number in near else (site.number,)))
    owner = next(number for number in near if world.sites[number].placement.is_responsible(HOME))
    for number, time in ((owner, 1), *((each, 2) for each in far)):
        value = signed(SINGLE, there(b"%d" % time), time=time, lifetime=LONG, by=ALICE)
        world.write(number, HOME, of(SINGLE, value), by=ALICE)
    world.run(1)
    return world


def test_what_is_refused_as_its_sender_is_not_near_is_fetched_from_it_by_the_responsible_peer() -> None:
    """Four peers of the other half are between the two when a partition heals (section 7.4.1.1)."""
    world = halves(4)
    before = world.sites[4].holds(HOME)
    assert world.sites[5].holds(HOME) != before
    world.all_know()
    world.run(SETTLE_TIME * 2)
    holders = world.holders(HOME)
    assert len(holders) == 3
    assert 4 not in holders
    assert all(world.sites[number].holds(HOME) == before for number in holders)
    assert all(site.keeper.pending == 0 for site in world.up())


def test_nobody_but_the_responsible_peer_asks_whom_it_has_refused() -> None:
    world = halves(4)
    world.all_know()
    second = world.sites[6]
    request = StoreReq(HOME, 1, (of(SINGLE, signed(SINGLE, there(b"3"), time=3, lifetime=LONG, by=ALICE)),))
    world.sent.clear()
    for _ in range(3):
        outcome = second.store(request, world.sites[4].identity, ALICE.certificates)
        assert isinstance(outcome, ErrorResponse)
    world.run(1)
    assert not any(sent.sender == 6 and isinstance(sent.body, FetchReq) for sent in world.sent)


def test_fetches_of_what_was_refused_are_few_at_a_time() -> None:
    world = halves(4)
    world.all_know()
    first = world.sites[5]
    request = StoreReq(HOME, 1, (of(SINGLE, signed(SINGLE, there(b"3"), time=3, lifetime=LONG, by=ALICE)),))
    world.sent.clear()
    for _ in range(100):
        first.keeper.on_refused(request, at(4), world.now)
    assert len([sent for sent in world.sent if sent.sender == 5 and isinstance(sent.body, FetchReq)]) == MAX_OFFERS
    # What is of Kinds that nobody knows is not asked for.
    world.run(SETTLE_TIME)
    world.sent.clear()
    first.keeper.on_refused(StoreReq(HOME, 1, (attrs.evolve(request.kind_data[0], kind=77),)), at(4), world.now)
    assert not any(isinstance(sent.body, FetchReq) and sent.sender == 5 for sent in world.sent)
