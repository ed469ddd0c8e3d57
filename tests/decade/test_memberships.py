"""Collections: objects are in them, tokens are for them, and nobody gets at an object by putting it into one."""

from decade_server import BOB, HELLO, OCTETS, PEER, Bench, bearer, code, token, whole
from decade_tokens import MAC, NOW
from decade_transfers import TEMPLATE, finish_pull, transfers_of
from decade_waiting import SlowStore
from hypothesis import given
from hypothesis import strategies as st

from decade.challenge import prove
from decade.errors import DecodeError, ErrorCode
from decade.http import Request, read_attrs, write_attrs
from decade.memberships import MAX_COLLECTIONS, joined, read_collections, write_collections
from decade.messages import (
    MEDIA_TYPE,
    AttrPatch,
    ChallengeRequest,
    Claim,
    Direction,
    Remote,
    ResourcePolicy,
    StoredAttrs,
    TransferRequest,
    encode_message,
)
from decade.names import name_of
from decade.scope import ALL_OPERATIONS, Collection, Everything, Object, Operation
from decade.settings import Extension
from decade.tokens import TokenFeature
from decade.transfer_states import ItemState

ON = {"extensions": frozenset({TokenFeature.COLLECTIONS})}
OTHER = b"another object"
RED, BLUE = Collection(b"red"), Collection(b"blue")
INFO = f"objects/{HELLO.path.removeprefix('/.well-known/ni/')}"
PULL = frozenset({TokenFeature.COLLECTIONS, Extension.PULL, Extension.PUSH, Extension.CHALLENGE})


def col(*names):
    """The header field that asks for collections."""
    return {"headers": write_attrs(None, names)}


def of(target, operations=ALL_OPERATIONS, **policy):
    """A token for what is in a collection, and nothing else."""
    return token(scope=((target, operations),), **policy)


def collections(made, octets=OCTETS):
    row = made.store.find("alice", name_of(octets))
    return None if row is None else row.collections


def test_a_token_for_a_collection_reaches_what_is_in_it_and_nothing_else():
    made = Bench(**ON)
    assert made.server._core.settings.info.features == ("collections",)
    assert made.put(**col(b"red", b"green")).status == 201
    made.put(OTHER, **col(b"blue"))
    made.put(b"bob's", token(BOB), **col(b"red"))
    assert made.control("GET", INFO).collections == (b"green", b"red")
    assert made.control("GET", "objects").objects[0].collections is None
    assert made.get(key=of(RED)).body == OCTETS
    assert made.control("GET", INFO, key=of(RED)).size == len(OCTETS)
    for name in (name_of(OTHER), name_of(b"bob's"), name_of(b"nowhere")):
        for method in ("GET", "HEAD", "DELETE"):
            assert made.ask(method, name.path, of(RED)).status == 403
        assert code(made.get(name, of(RED))) == ErrorCode.OBJECT_NOT_PERMITTED
    assert code(made.control("GET", "objects", key=of(RED))) == ErrorCode.OBJECT_NOT_PERMITTED
    assert code(made.get(key=of(RED, Operation.PUT))) == ErrorCode.OP_NOT_PERMITTED
    assert made.ask("DELETE", HELLO.path, of(RED)).status == 204
    assert code(made.get(key=of(RED))) == ErrorCode.OBJECT_NOT_PERMITTED


def test_an_object_that_leaves_a_collection_is_not_reached_by_it_any_more():
    made = Bench(**ON)
    made.put(**col(b"red"))
    key = of(RED)
    for _ in range(3):
        assert made.get(key=key).status == 200
    assert made.control("PATCH", INFO, AttrPatch(collections=(b"blue", b"blue"))).status == 204
    assert collections(made) == (b"blue",)
    assert code(made.get(key=key)) == ErrorCode.OBJECT_NOT_PERMITTED
    assert made.get(key=of(BLUE)).status == 200
    assert made.control("PATCH", INFO, AttrPatch(media_type="a/b")).status == 204
    assert collections(made) == (b"blue",)
    assert made.control("PATCH", INFO, AttrPatch(collections=())).status == 204
    assert collections(made) == ()
    assert made.control("GET", INFO).collections is None


def test_the_collections_of_a_token_are_stamped_on_what_it_stores_and_it_reaches_nothing_outside():
    made = Bench(**ON)
    key = token(collections=(b"red", b"blue"))
    made.put(OTHER, **col(b"red"))
    assert made.put(key=key, **col(b"x")).status == 201
    assert collections(made) == (b"blue", b"red", b"x")
    assert made.get(key=key).status == 200
    assert code(made.get(name_of(OTHER), key)) == ErrorCode.OBJECT_NOT_PERMITTED
    assert [one.name for one in made.control("GET", "objects", key=key).objects] == [HELLO]
    leaves = AttrPatch(collections=(b"red",))
    assert code(made.control("PATCH", INFO, leaves, key)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.control("PATCH", INFO, AttrPatch(collections=(b"red", b"blue")), key).status == 204
    for _ in range(3):
        assert made.get(key=key).status == 200
    assert made.control("PATCH", INFO, AttrPatch(collections=(b"red",))).status == 204
    assert code(made.get(key=key)) == ErrorCode.OBJECT_NOT_PERMITTED


def test_an_object_gets_into_a_collection_only_when_its_octets_come():
    made = Bench(**ON)
    made.put()
    key = token(scope=((Everything(), Operation.PUT), (RED, Operation.GET)), collections=(b"red",))
    # Without the octets an object that is held is stored again; not here.
    answer = made.head("PUT", HELLO.path, key, headers=(("Content-Length", str(len(OCTETS))),))
    assert answer.feed(b"hello world!", 1.0) is None
    assert code(answer.finish(1.0)) == ErrorCode.NAME_MISMATCH
    assert collections(made) == ()
    assert made.put(key=key).status == 204
    assert collections(made) == (b"red",)
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    assert made.head("PUT", HELLO.path, key, headers=(("Content-Length", "12"),)).status == 204


def test_who_may_put_into_a_collection_gets_at_no_object_outside_it_even_with_its_octets():
    made = Bench(**ON)
    made.put(**col(b"blue"))
    key = of(RED)
    assert code(made.put(OTHER, key)) == ErrorCode.OBJECT_NOT_PERMITTED
    assert made.put(OTHER, key, **col(b"red")).status == 201
    assert made.put(OTHER, key, **col(b"red", b"green")).status == 204
    # It learns only that it is not permitted, and only with the octets.
    upload = made.head("PUT", HELLO.path, key, headers=(("Content-Length", "12"), *write_attrs(None, (b"red",))))
    upload.abort(made.now)
    assert code(made.put(key=key, **col(b"red"))) == ErrorCode.OBJECT_NOT_PERMITTED
    assert collections(made) == (b"blue",)
    fields = {"headers": (*write_attrs(None, (b"red",)), ("If-None-Match", "*"))}
    assert code(made.put(key=key, **fields)) == ErrorCode.OBJECT_NOT_PERMITTED
    assert made.quotas.holding(("alice",)).reserved == 0
    assert made.server.requests == 0


def test_there_are_bounds():
    made = Bench(**ON)
    many = tuple(bytes([one]) for one in range(MAX_COLLECTIONS))
    assert code(made.put(key=token(collections=(b"x",)), **col(*many))) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.put(**col(*many, *many)).status == 201
    patch = AttrPatch(collections=(*many, b"x"))
    assert code(made.control("PATCH", INFO, patch)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    # Nor by and by.
    assert code(made.put(**col(b"x"))) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert (collections(made), made.quotas.holding(("alice",)).used) == (many, len(OCTETS))
    for field in ("col", "col=:AA==:", "col=(:AA==: a)", "col=(::)", "col=(:AA:)", f"col=(:{'A' * 88}:)", "col=(:=:)"):
        assert code(made.put(headers=(("Decade-Attrs", field),))) == ErrorCode.MALFORMED


def test_a_server_without_them_refuses_all_that_uses_them():
    made = Bench()
    assert code(made.put(**col(b"red"))) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    made.put()
    assert code(made.get(key=of(RED))) == ErrorCode.TOKEN_MALFORMED
    assert code(made.get(key=token(collections=(b"red",)))) == ErrorCode.TOKEN_MALFORMED
    patch = AttrPatch(collections=(b"red",))
    assert code(made.control("PATCH", INFO, patch)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED


def test_a_claim_puts_an_object_into_collections_when_it_is_proven():
    seeds = iter(range(1, 1 << 20))
    made = Bench(extensions=PULL, random_bytes=lambda size: next(seeds).to_bytes(32, "little")[:size])
    made.put()

    def claim(key, octets, asked=None):
        seed = made.control("POST", "challenges", ChallengeRequest(name=HELLO), token()).seed
        attrs = None if asked is None else StoredAttrs(collections=asked)
        return made.control("POST", "claims", Claim(name=HELLO, seed=seed, proof=prove(seed, octets), attrs=attrs), key)

    key = token(collections=(b"red",))
    assert code(claim(key, b"hello world!")) == ErrorCode.NOT_FOUND
    assert collections(made) == ()
    assert code(claim(of(BLUE), OCTETS, (b"blue",))) == ErrorCode.OBJECT_NOT_PERMITTED
    assert collections(made) == ()
    assert claim(key, OCTETS, (b"blue",)).status == 204
    assert collections(made) == (b"blue", b"red")
    assert claim(of(BLUE), b"no proof is needed", (b"blue",)).status == 204


def pull(made, key, *, direction=Direction.PULL, **more):
    message = TransferRequest(direction=direction, objects=(HELLO,), remote=Remote(object_template=TEMPLATE), **more)
    return made.control("POST", "transfers", message, key)


def test_what_is_pulled_is_in_the_collections_of_the_token_and_of_the_request():
    made = Bench(extensions=PULL)
    asked = StoredAttrs(collections=(b"blue",))
    assert code(pull(made, of(RED), attrs=asked)) == ErrorCode.OBJECT_NOT_PERMITTED
    assert code(pull(made, of(BLUE), direction=Direction.PUSH)) == ErrorCode.OBJECT_NOT_PERMITTED
    pushed = pull(made, token(), direction=Direction.PUSH, attrs=asked)
    assert code(pushed) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    pull(made, of(BLUE, collections=(b"red",)), attrs=asked)
    errand = next(iter(made.server.transfers._transfers.values())).errand
    assert errand.permission.joins == (b"blue", b"red")


def test_a_chain_of_collections_never_widens_what_a_token_reaches():
    made = Bench(policy=ResourcePolicy(weight=1), **ON)
    made.put(**col(b"red"))
    both = token(scope=((RED, Operation.GET), (Object(name_of(OTHER)), Operation.GET)))
    made.put(OTHER)
    assert made.get(key=both).status == 200
    assert made.get(name_of(OTHER), both).status == 200


NAMES = st.lists(st.binary(min_size=1, max_size=64), max_size=MAX_COLLECTIONS)


@given(NAMES, NAMES)
def test_collections_are_written_and_read(one, other):
    assert read_collections(write_collections(joined(one, other))) == tuple(sorted({*one, *other}))
    ((_, field),) = write_attrs(7, tuple(one)) if one else (("", "exp=7"),)
    asked = read_attrs(field)
    assert (asked.expires, asked.collections, asked.unsupported) == (7, tuple(one) if one else None, ())


@given(st.text("ab:=() ,;", max_size=20))
def test_any_list_is_read_or_refused(text):
    try:
        asked = read_attrs(f"col={text}")
    except DecodeError:
        return
    assert all(1 <= len(one) <= 64 for one in asked.collections or ())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "delete", "patch"]),
        st.sampled_from([None, b"red", b"blue"]),
        st.sets(st.sampled_from([b"red", b"blue"])),
        st.sets(st.sampled_from([b"red", b"blue"])),
        st.sampled_from([OCTETS, OTHER]),
    ),
    max_size=25,
)


@given(STEPS)
def test_tokens_reach_what_a_model_says(steps):
    made, held = Bench(**ON), {}
    for verb, target, stamped, asked, octets in steps:
        scope = (((Everything() if target is None else Collection(target)), ALL_OPERATIONS),)
        policy = {"collections": tuple(sorted(stamped))} if stamped else {}
        key, name, joins = token(MAC, scope=scope, iat=NOW, **policy), name_of(octets), stamped | asked
        here = held.get(octets)
        is_reached = here is not None and stamped <= here and (target is None or target in here)
        match verb:
            case "put":
                status = made.put(octets, key, headers=write_attrs(None, tuple(asked))).status
                may = target is None or (target in joins if here is None else target in here)
                assert status == ((201 if here is None else 204) if may else 403)
                if may:
                    held[octets] = (here or set()) | joins
            case "patch":
                path = f"objects/{name.path.removeprefix('/.well-known/ni/')}"
                answer = made.control("PATCH", path, AttrPatch(collections=tuple(asked)), key)
                if here is None and target is None and not stamped:
                    assert answer.status in (404, 410)
                else:
                    expected = 403 if not is_reached or not stamped <= asked else 204
                    assert answer.status == expected
                    if expected == 204:
                        held[octets] = set(asked)
            case _:
                answer = made.ask("DELETE" if verb == "delete" else "GET", name.path, key)
                if here is None and target is None and not stamped:
                    assert answer.status in (404, 410)
                else:
                    assert answer.status == ((204 if verb == "delete" else 200) if is_reached else 403)
                    if is_reached and verb == "delete":
                        del held[octets]
        for one in (OCTETS, OTHER):
            assert collections(made, one) == (None if one not in held else tuple(sorted(held[one])))


def test_what_is_held_is_pulled_anew_to_get_into_a_collection():
    made = Bench(extensions=PULL, random_bytes=lambda size: b"\x07" * size)
    made.put()
    order = TransferRequest(
        direction=Direction.PULL,
        objects=(HELLO,),
        remote=Remote(object_template=TEMPLATE),
        attrs=StoredAttrs(collections=(b"red",)),
    )
    first = transfers_of(made, order)
    finish_pull(made, octets=b"hello world!")
    assert (first.items[0].state, collections(made)) == (ItemState.FAILED, ())
    made.server.transfers._random_bytes = lambda size: b"\x08" * size
    transfers_of(made, order)
    finish_pull(made)
    assert collections(made) == (b"red",)
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    made.server.transfers._random_bytes = lambda size: b"\x09" * size
    transfers_of(made, order)
    assert made.server.transfers.next_request(made.now) is None


def test_what_has_left_the_collections_of_a_token_is_not_recalled_for_it():
    made = Bench(**ON)
    key = token(collections=(b"red",))
    made.put(key=key)
    asked = Request("GET", HELLO.path, bearer(key))
    assert whole(made.server.handle(asked, PEER, made.now)).status == 200
    assert made.server.recall(asked, PEER, made.now).body == OCTETS
    made.control("PATCH", INFO, AttrPatch(collections=()))
    assert made.server.recall(asked, PEER, made.now) is None
    assert code(made.server.handle(asked, PEER, made.now)) == ErrorCode.OBJECT_NOT_PERMITTED


def test_an_object_that_leaves_while_a_patch_waits_is_not_changed():
    made = Bench(store=SlowStore(), **ON)
    made.put(**col(b"red"))
    patch = AttrPatch(media_type="text/html", collections=(b"red",))
    keys = of(RED), token(collections=(b"red",)), of(Everything())
    answers = []
    for key in keys:
        octets = encode_message(patch)
        head = (("Content-Length", str(len(octets))), ("Content-Type", MEDIA_TYPE))
        upload = made.head("PATCH", f"/decade/v1/{INFO}", key, headers=head)
        upload.feed(octets, made.now)
        waiting = upload.finish(made.now)
        assert made.control("PATCH", INFO, AttrPatch(collections=())).status == 204
        waiting.run()
        answers.append(waiting.resume(made.now))
        assert collections(made) == (() if key is not keys[2] else (b"red",))
        assert made.control("PATCH", INFO, AttrPatch(media_type=None, collections=(b"red",))).status == 204
    assert [code(one) for one in answers[:2]] == [ErrorCode.OBJECT_NOT_PERMITTED] * 2
    assert answers[2].status == 204


def test_a_token_of_collections_sees_no_log_of_other_objects():
    logs = frozenset({TokenFeature.COLLECTIONS, Extension.ACCESS_LOG, Extension.DISTRIBUTION_LOG})
    made = Bench(extensions=logs)
    made.put()
    made.get()
    for kind in ("access-log", "distribution-log"):
        assert code(made.control("GET", kind, key=token(collections=(b"red",)))) == ErrorCode.OBJECT_NOT_PERMITTED
        assert made.control("GET", kind).frame
