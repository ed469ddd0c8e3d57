"""A server with signed names: who binds them, who reads by them, and what becomes of them."""

import base64

import attrs
import pytest
from decade_server import ALL, BOB, HELLO, OCTETS, PEER, Bench, bearer, code, token
from decade_tokens import MAC, NOW, SERVER
from decade_waiting import SlowStore

from decade.cose import Ed25519SigningKey, Es256SigningKey
from decade.errors import ErrorCode, StoreError
from decade.http import Request, Response, write_attrs
from decade.messages import Access, AttrPatch, Direction, Remote, ResourcePolicy, TransferRequest
from decade.named import MAX_NAMES, SIGNATURE_FIELD, Binding, bind, named_path, read_signature, verify
from decade.names import name_of
from decade.pop import sign
from decade.scope import ALL_OPERATIONS, Collection, Confirmation, Everything, Object, Operation, Publisher
from decade.settings import Extension
from decade.store import MemoryStore
from decade.tokens import Claims, TokenFeature, mint
from decade.values import SignedName
from decade.waiting import Waiting

KEY, STRANGER = Ed25519SigningKey(bytes(range(32))), Es256SigningKey(bytes(range(1, 33)))
MADE = bind(KEY, b"live/1", HELLO)
PATH = named_path(MADE.signed)
OTHER = b"another object"
NAMED = TokenFeature.SIGNED_NAMES
ON = {"extensions": frozenset({NAMED})}


def fields(binding, *more):
    return {"headers": (("Repr-Digest", binding.name.repr_digest), (SIGNATURE_FIELD, binding.text), *more)}


def put(made, octets=OCTETS, binding=MADE, key=None, *more):
    path = named_path(binding.signed)
    return made.ask("PUT", path, token() if key is None else key, octets, **fields(binding, *more))


def get(made, signed=MADE.signed, key=None, method="GET", *headers):
    return made.ask(method, named_path(signed), token() if key is None else key, headers=headers)


def of(target, operations=ALL_OPERATIONS, **policy):
    return token(scope=((target, operations),), **policy)


def test_what_is_stored_under_a_signed_name_is_an_object_with_a_signature():
    made = Bench(**ON)
    answer = put(made, OCTETS, MADE, None, ("Content-Type", "video/mp4"))
    assert (answer.status, answer.header("Location"), answer.header("ETag")) == (201, PATH, HELLO.etag)
    answer = get(made)
    assert (answer.status, answer.body) == (200, OCTETS)
    verify(Binding(MADE.signed, name_of(answer.body), read_signature(answer.header(SIGNATURE_FIELD))))
    by_hash = made.get()
    assert by_hash.header(SIGNATURE_FIELD) is None
    same = {"ETag", "Cache-Control", "Content-Type", "Repr-Digest", "Accept-Ranges", "Decade-Attrs"}
    assert all(answer.header(field) == by_hash.header(field) is not None for field in same)
    assert made.quotas.holding(("alice",)).stored == len(OCTETS)
    assert made.quotas.holding(("alice",)).objects == 1
    assert [one.name for one in made.control("GET", "objects").objects] == [HELLO]
    head = get(made, method="HEAD")
    assert (head.status, head.body, head.header(SIGNATURE_FIELD)) == (200, b"", MADE.text)


def test_an_object_of_no_octets_has_a_signed_name_like_any_other():
    made = Bench(**ON)
    binding = bind(STRANGER, b"end", name_of(b""))
    assert [put(made, b"", binding).status, put(made, b"", binding).status] == [201, 204]
    answer = get(made, binding.signed)
    assert (answer.status, answer.body, answer.header(SIGNATURE_FIELD)) == (200, b"", binding.text)


def test_ranges_and_conditions_are_as_of_the_object():
    made = Bench(**ON)
    put(made)
    part = get(made, MADE.signed, None, "GET", ("Range", "bytes=6-10"))
    assert (part.status, part.body, part.header(SIGNATURE_FIELD)) == (206, b"World", MADE.text)
    fresh = get(made, MADE.signed, None, "GET", ("If-None-Match", HELLO.etag))
    assert (fresh.status, fresh.header(SIGNATURE_FIELD)) == (304, MADE.text)
    assert get(made, MADE.signed, None, "GET", ("If-Match", '"x"')).status == 412
    assert get(made, MADE.signed, None, "GET", ("Range", "bytes=99-")).status == 416
    assert put(made, OCTETS, MADE, None, ("If-None-Match", "*")).status == 412
    assert get(made, MADE.signed, None, "DELETE", ("If-Match", '"x"')).status == 412


def test_a_signed_name_is_one_objects_for_as_long_as_it_is_there():
    made = Bench(**ON)
    assert put(made).status == 201
    again = put(made)
    assert (again.status, again.header("ETag")) == (204, HELLO.etag)
    new = bind(KEY, b"live/1", name_of(OTHER))
    assert (put(made, OTHER, new).status, code(put(made, OTHER, new))) == (409, ErrorCode.CONFLICT)
    assert get(made).body == OCTETS
    assert made.store.find("alice", name_of(OTHER)) is None
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    # Another account has names of its own.
    assert put(made, OTHER, new, token(BOB)).status == 201
    assert get(made, key=token(BOB)).body == OTHER
    assert get(made).body == OCTETS


def test_an_object_has_many_signed_names_and_is_charged_once():
    made = Bench(**ON)
    made.put()
    for key in (KEY, STRANGER):
        for label in (b"a", b"b", bytes(64)):
            assert put(made, OCTETS, bind(key, label, HELLO)).status == 201
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    assert get(made, bind(STRANGER, b"a", HELLO).signed).status == 404
    assert made.store._bound == made.store._signed == {}
    assert made.quotas.holding(("alice",)).used == 0


def test_a_signed_name_that_is_deleted_leaves_the_object_and_may_be_bound_again():
    made = Bench(**ON)
    put(made)
    put(made, OCTETS, bind(KEY, b"live/2", HELLO))
    assert get(made, method="DELETE").status == 204
    assert [get(made).status, get(made, method="HEAD").status, get(made, method="DELETE").status] == [404] * 3
    assert made.get().body == get(made, bind(KEY, b"live/2", HELLO).signed).body == OCTETS
    new = bind(KEY, b"live/1", name_of(OTHER))
    assert put(made, OTHER, new).status == 201
    assert get(made).body == OTHER


def test_a_signed_name_goes_when_its_object_expires_and_is_free_at_once():
    made = Bench(**ON)
    assert put(made, OCTETS, MADE, None, *write_attrs(NOW + 10)).status == 201
    made.now = 10.0
    assert get(made).status == 404
    new = bind(KEY, b"live/1", name_of(OTHER))
    # The row that has expired is not swept yet.
    assert put(made, OTHER, new).status == 201
    assert get(made).body == OTHER
    assert made.quotas.holding(("alice",)).used == len(OTHER)
    made.server.handle_timer(made.now)
    assert get(made).body == OTHER


def test_hostile_signatures_are_refused_before_anything_is_stored_or_used():
    made = Bench(**ON)
    state = made.state()
    stolen = SignedName(bind(STRANGER, b"x", HELLO).signed.publisher, b"live/1")
    wrong = (
        (OCTETS, attrs.evolve(MADE, signed=stolen), ErrorCode.NAME_MISMATCH),
        (OCTETS, attrs.evolve(MADE, signed=SignedName(MADE.signed.publisher, b"live/2")), ErrorCode.NAME_MISMATCH),
        (OTHER, attrs.evolve(MADE, name=name_of(OTHER)), ErrorCode.NAME_MISMATCH),
        (OCTETS, attrs.evolve(MADE, signature=bytes(100)), ErrorCode.MALFORMED),
        (OCTETS, attrs.evolve(MADE, signature=MADE.signature[:-1]), ErrorCode.MALFORMED),
    )
    for octets, binding, expected in wrong:
        assert code(put(made, octets, binding)) == expected
    for headers in ((), fields(MADE)["headers"][:1], fields(MADE)["headers"][1:]):
        assert code(made.ask("PUT", PATH, token(), OCTETS, headers=headers)) == ErrorCode.MALFORMED
    assert made.state() == state
    # Other octets than those that are signed: they have come.
    assert code(put(made, OTHER[: len(OCTETS)].ljust(len(OCTETS)))) == ErrorCode.NAME_MISMATCH
    assert made.store._bound == {}
    assert made.quotas.holding(("alice",)).used == 0


def test_heads_that_ask_for_what_there_is_not_are_refused_first():
    made = Bench(**ON)
    base = f"/decade/v1/named/sha-256/{MADE.signed.publisher.text}/"
    long = base64.urlsafe_b64encode(bytes(65)).rstrip(b"=").decode()
    for path in (base, base + long, base + "bB", base + "a=", base.replace("sha-256", "md5") + "bA"):
        assert made.ask("GET", path).status in (400, 422)
    assert made.ask("GET", base.replace("sha-256/", "sha-256-32/") + "bA").status in (400, 422)
    assert made.ask("GET", base + "bA/bA").status == 404
    assert made.ask("POST", PATH, token(), b"").status == 405
    assert made.ask("PUT", PATH, token(), headers=fields(MADE)["headers"]).status == 411
    coded = fields(MADE, ("Content-Encoding", "gzip"))
    assert made.ask("PUT", PATH, token(), OCTETS, **coded).status == 415
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        body = OCTETS if method == "PUT" else None
        assert made.ask(method, PATH, None, body, **fields(MADE)).status == 401


def test_a_server_without_signed_names_has_none_and_takes_no_token_for_them():
    made = Bench()
    assert code(put(made)) == ErrorCode.NOT_FOUND
    for target in (Publisher(MADE.signed.publisher), Object(MADE.signed)):
        assert code(made.get(key=of(target))) == ErrorCode.TOKEN_MALFORMED
    assert Bench(**ON).server._core.settings.info.features == ("signed-names",)


def test_a_scope_of_a_publisher_reaches_its_labels_with_the_prefix_and_nothing_else():
    made = Bench(**ON)
    put(made)
    publisher = MADE.signed.publisher
    for target in (Publisher(publisher), Publisher(publisher, b"live/"), Object(MADE.signed), Everything()):
        assert get(made, key=of(target)).body == OCTETS
        assert put(made, key=of(target)).status == 204
    outside = (
        Publisher(publisher, b"live/11"),
        Publisher(publisher, b"Live"),
        Publisher(HELLO),
        Object(SignedName(publisher, b"live/2")),
        Object(HELLO),
    )
    for target in outside:
        for method in ("GET", "HEAD", "DELETE"):
            assert get(made, key=of(target), method=method).status == 403
        assert code(put(made, key=of(target))) == ErrorCode.OBJECT_NOT_PERMITTED
        # Nor does it say whether something is there.
        assert code(get(made, SignedName(publisher, b"x"), of(target))) == ErrorCode.OBJECT_NOT_PERMITTED
    assert code(get(made, key=of(Publisher(publisher), Operation.PUT))) == ErrorCode.OP_NOT_PERMITTED
    # By its hash the object is not the publisher's.
    for method in ("GET", "DELETE"):
        assert made.ask(method, HELLO.path, of(Publisher(publisher))).status == 403
    assert made.put(key=of(Publisher(publisher))).status == 403


def test_who_binds_an_object_that_is_there_has_its_octets():
    made = Bench(**ON)
    made.put()
    publisher = MADE.signed.publisher
    key = of(Publisher(publisher))
    head = (("Content-Length", str(len(OCTETS))), *fields(MADE)["headers"])
    upload = made.head("PUT", PATH, key, headers=head)
    assert not isinstance(upload, Response)
    assert upload.feed(b"hello world!", 1.0) is None
    assert code(upload.finish(1.0)) == ErrorCode.NAME_MISMATCH
    assert get(made, key=key).status == 404
    assert put(made, key=key).status == 201
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    # Now that it is bound it need not come again, for who may read it there.
    assert made.head("PUT", PATH, key, headers=head).status == 204


def test_a_token_of_a_collection_reaches_what_is_in_it_by_its_signed_name_too():
    made = Bench(extensions=frozenset({NAMED, TokenFeature.COLLECTIONS}))
    assert put(made, OCTETS, MADE, None, *write_attrs(None, (b"red",))).status == 201
    assert get(made, key=of(Collection(b"red"))).body == OCTETS
    assert get(made, key=of(Collection(b"blue"))).status == 403
    stamped = of(Publisher(MADE.signed.publisher), collections=(b"blue",))
    assert get(made, key=stamped).status == 403
    assert put(made, key=stamped).status == 204
    assert made.store.find("alice", HELLO).collections == (b"blue", b"red")
    assert get(made, key=stamped).body == OCTETS


def test_uses_amounts_and_revocations_count_as_for_objects():
    made = Bench(**ON)
    put(made)
    key = of(Publisher(MADE.signed.publisher), uses=1)
    assert get(made, key=key).status == 200
    assert code(get(made, key=key)) == ErrorCode.TOKEN_USED_UP
    assert code(get(made, key=of(Object(MADE.signed), amount=5))) == ErrorCode.AMOUNT_EXHAUSTED
    short = of(Publisher(MADE.signed.publisher), storage=3)
    binding = bind(KEY, b"n", name_of(OTHER))
    assert code(put(made, OTHER, binding, short)) == ErrorCode.STORAGE_QUOTA


def test_answers_are_not_recalled_and_those_by_hash_have_no_signature():
    made = Bench(**ON)
    put(made)
    key = token()
    for _ in range(3):
        assert get(made, key=key).header(SIGNATURE_FIELD) == MADE.text
        assert made.get(key=key).header(SIGNATURE_FIELD) is None
    get(made, method="DELETE")
    assert get(made, key=key).status == 404


def test_what_the_provider_refuses_by_its_hash_has_no_other_name():
    def refuse(question, _):
        return ErrorCode.LEGAL_BLOCK if HELLO in (question.names or ()) else None

    made = Bench(local_policy=refuse, **ON)
    assert code(put(made)) == ErrorCode.LEGAL_BLOCK
    made.store.commit(made.store.create(HELLO, 0), attrs.evolve(_row(made), name=HELLO))
    made.store.bind("alice", MADE)
    assert code(get(made)) == ErrorCode.LEGAL_BLOCK


def _row(made):
    made.put(OTHER)
    return made.store.find("alice", name_of(OTHER))


def test_without_a_token_nothing_is_read_by_a_signed_name():
    extensions = frozenset({NAMED, Extension.PUBLIC})
    made = Bench(policy=ResourcePolicy(weight=1, access=Access.PUBLIC), extensions=extensions)
    put(made)
    assert made.ask("GET", HELLO.path).status == 200
    assert made.ask("GET", PATH).status == 401


def test_transfers_of_signed_names_are_refused():
    made = Bench(extensions=frozenset({NAMED, Extension.PULL, Extension.PUSH}))
    remote = Remote(object_template="https://sa.example/.well-known/ni/{alg}/{val}", server="https://sa.example")
    for direction in Direction:
        order = TransferRequest(direction=direction, objects=(MADE.signed,), remote=remote, token=b"\xd8=")
        assert code(made.control("POST", "transfers", order)) == ErrorCode.DIGEST_UNSUPPORTED


@pytest.mark.parametrize("digest", [HELLO.value, name_of(OTHER).value, None])
def test_a_proof_of_possession_covers_the_octets_of_what_is_put(digest):
    made = Bench(extensions=frozenset({NAMED, TokenFeature.POP}))
    holder = Ed25519SigningKey(bytes(range(1, 33)))
    claims = Claims(
        aud=(SERVER,), exp=NOW + 600, iat=NOW, cti=bytes(16), scope=ALL, cnf=Confirmation(key=holder.public.cose_key)
    )
    shown = mint(claims, MAC)
    text = "Bearer " + base64.urlsafe_b64encode(shown).rstrip(b"=").decode()
    head = (("Content-Length", str(len(OCTETS))), *fields(MADE)["headers"], ("Authorization", text))
    request = Request("PUT" if digest is not None else "GET", SERVER + PATH, head)
    proof = sign(request, holder, created=NOW + 1, nonce="n" * 20, digest=digest)
    answer = made.ask("PUT", PATH, shown, OCTETS, headers=(*fields(MADE)["headers"], *proof))
    assert answer.status == (201 if digest == HELLO.value else 401)


def test_a_store_that_fails_binds_nothing_and_says_so():
    class Failing(MemoryStore):
        def bind(self, account, binding):
            raise StoreError("the disk")

    made = Bench(store=Failing(), **ON)
    assert put(made).status == 503
    assert get(made).status == 404
    # The object was stored before: the next try finds it.
    assert made.get().body == OCTETS
    assert made.quotas.holding(("alice",)).used == len(OCTETS)


def test_of_two_that_bind_one_name_at_a_time_one_has_it():
    made = Bench(store=SlowStore(), **ON)
    new = bind(KEY, b"live/1", name_of(OTHER))
    uploads = []
    for octets, binding in ((OCTETS, MADE), (OTHER, new)):
        head = (("Content-Length", str(len(octets))), *fields(binding)["headers"])
        upload = made.head("PUT", PATH, token(), headers=head)
        upload.feed(octets, 1.0)
        uploads.append(upload.finish(1.0))
    answers = [None, None]
    while any(isinstance(one, Waiting) for one in uploads):
        for at, waiting in enumerate(uploads):
            if isinstance(waiting, Waiting):
                waiting.run()
                uploads[at] = waiting.resume(1.0)
    answers = uploads
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert get(made).body == OCTETS
    assert made.quotas.holding(("alice",)).objects == 2


def test_an_object_that_is_deleted_while_it_is_bound_is_gone():
    made = Bench(store=SlowStore(), **ON)
    head = (("Content-Length", str(len(OCTETS))), *fields(MADE)["headers"])
    upload = made.head("PUT", PATH, token(), headers=head)
    upload.feed(OCTETS, 1.0)
    waiting = upload.finish(1.0)
    waiting.run()
    waiting = waiting.resume(1.0)
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    waiting.run()
    assert code(waiting.resume(1.0)) == ErrorCode.GONE
    assert made.quotas.holding(("alice",)).used == 0
    assert made.control("PATCH", f"objects/{HELLO.path[16:]}", AttrPatch()).status == 410


def test_names_cost_nothing_and_are_bounded_for_that():
    made = Bench(**ON)
    answers = [put(made, b"", bind(KEY, bytes([at]), name_of(b""))) for at in range(MAX_NAMES + 1)]
    assert [answer.status for answer in answers] == [201] * MAX_NAMES + [403]
    assert (code(answers[-1]), made.quotas.holding(("alice",)).objects) == (ErrorCode.ATTRIBUTE_NOT_PERMITTED, 1)
    assert get(made, SignedName(MADE.signed.publisher, bytes([MAX_NAMES]))).status == 404
    assert put(made, b"", bind(KEY, b"\x00", name_of(b""))).status == 204


def test_who_deletes_a_name_takes_it_from_no_other_object_that_has_got_it_meanwhile():
    made = Bench(store=SlowStore(), **ON)
    put(made)
    asked = Request("DELETE", PATH, (("If-Match", HELLO.etag), *bearer(token())))
    waiting = made.server.handle(asked, PEER, 1.0)
    assert get(made, method="DELETE").status == 204
    new = bind(KEY, b"live/1", name_of(OTHER))
    assert put(made, OTHER, new).status == 201
    waiting.run()
    assert waiting.resume(1.0).status == 404
    assert get(made).body == OTHER


def test_what_another_process_binds_meanwhile_is_not_taken_for_what_is_put():
    """Each look at a store of several processes may see something else."""

    class Shared(MemoryStore):
        gone = False

        def find_bound(self, account, signed):
            found = super().find_bound(account, signed)
            if found is not None and self.gone:
                self.unbind(account, found)
            return found

    made = Bench(store=Shared(), **ON)
    new = bind(KEY, b"live/1", name_of(OTHER))
    put(made, OTHER, new)
    made.store.gone = True
    # The scope of everything is not looked at by names, so that this look is the first one.
    assert code(put(made)) == ErrorCode.CONFLICT


def test_what_the_provider_keeps_by_its_hash_keeps_its_names():
    def keeps(question, token):
        is_asked = question.operation is Operation.DELETE and HELLO in question.names
        return ErrorCode.LEGAL_BLOCK if is_asked else None

    made = Bench(local_policy=keeps, **ON)
    put(made)
    assert code(made.ask("DELETE", HELLO.path, token())) == ErrorCode.LEGAL_BLOCK
    assert code(get(made, method="DELETE")) == ErrorCode.LEGAL_BLOCK
    assert get(made).body == OCTETS


def test_what_comes_for_a_name_that_another_object_has_got_meanwhile_is_not_kept():
    made = Bench(**ON)
    new = bind(KEY, b"live/1", name_of(OTHER))
    head = (("Content-Length", str(len(OTHER))), *fields(new)["headers"])
    upload = made.head("PUT", PATH, token(), headers=head)
    upload.feed(OTHER, 1.0)
    assert put(made).status == 201
    assert code(upload.finish(1.0)) == ErrorCode.CONFLICT
    assert made.store.find("alice", name_of(OTHER)) is None
    assert made.quotas.holding(("alice",)).used == len(OCTETS)
    assert get(made).body == OCTETS
