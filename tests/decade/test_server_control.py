"""The resource protocol over HTTP: what a server is, policies, status, lists, attributes, revocations."""

import base64

import attrs
import pytest
from decade_server import ALL, APP, BOB, HELLO, OCTETS, Bench, code, token
from decade_tokens import ACCOUNT, MAC, NOW, SERVER

from decade.cbor import MAX_MESSAGE
from decade.cose import HmacKey
from decade.errors import ErrorCode
from decade.messages import (
    MEDIA_TYPE,
    AccessStats,
    AttrPatch,
    Condition,
    ObjectInfo,
    ObjectList,
    ObjectState,
    ResourcePolicy,
    Revocation,
    ServerInfo,
    Status,
    decode_message,
    encode_message,
)
from decade.names import name_of
from decade.settings import DRP_PATH, MAX_PAGE
from decade.tokens import Everything, Object, Operation, RegisteredKey, TokenPolicy
from decade.values import Priority

INFO = f"objects/sha-256/{HELLO.text}"


def test_what_a_server_is_everybody_may_know():
    made = Bench(siblings=("https://sc.example",))
    answer = made.ask("GET", "/.well-known/decade")
    info = decode_message(answer.body)
    assert isinstance(info, ServerInfo)
    assert (info.server, info.drp_base) == (SERVER, SERVER + DRP_PATH)
    assert info.object_template.replace("{alg}", "sha-256").replace("{val}", HELLO.text) == SERVER + HELLO.path
    assert info.siblings == ("https://sc.example",)
    assert answer.header("Content-Type") == MEDIA_TYPE
    assert answer.header("Cache-Control") == "no-store"
    head = made.ask("HEAD", "/.well-known/decade")
    assert (head.headers, head.body) == (answer.headers, b"")


def test_status_says_what_is_granted_and_what_is_used():
    made = Bench(policy=ResourcePolicy(weight=7, storage=100))
    made.put()
    made.put(b"live", token(APP))
    made.get()
    made.head("GET", HELLO.path, token())
    made.head("PUT", name_of(b"abc").path, token(), headers=(("Content-Length", "3"),))
    status = made.control("GET", "status")
    assert isinstance(status, Status)
    assert (status.time, status.policy, status.condition) == (
        NOW + 1,
        ResourcePolicy(weight=7, storage=100),
        Condition.OK,
    )
    usage = status.usage
    assert (usage.stored, usage.objects, usage.reserved, usage.received, usage.sent) == (16, 2, 3, 16, 12)
    assert usage.rate_in == round(16 * 8 / 10)
    # Those that are open, and the request itself holds none while it is answered.
    assert usage.connections == 2
    assert list(status.apps) == ["live"]
    assert (status.apps["live"].stored, status.apps["live"].objects) == (4, 1)
    own = made.control("GET", "status", key=token(APP))
    assert (own.usage.stored, own.apps) == (4, None)


def test_a_server_says_that_it_is_busy():
    made = Bench(max_requests=2)
    made.put()
    made.head("GET", HELLO.path, token())
    assert made.control("GET", "status").condition == Condition.OK
    made = Bench(max_requests=3)
    made.put()
    for _ in range(2):
        made.head("GET", HELLO.path, token())
    assert made.control("GET", "status").condition == Condition.BUSY


def test_objects_are_listed_in_pages_and_those_of_others_are_not():
    made = Bench(limits={"max_list_page": 3})
    names = [name_of(bytes((at,))) for at in range(8)]
    for at in range(8):
        made.put(bytes((at,)))
    made.put(b"theirs", token(BOB))
    found, path, pages = [], "objects", 0
    while path:
        page = made.control("GET", path)
        assert isinstance(page, ObjectList)
        found += [info.name for info in page.objects]
        pages += 1
        path = page.cursor and "objects?cursor=" + base64.urlsafe_b64encode(page.cursor).rstrip(b"=").decode()
    assert found == sorted(names, key=lambda name: name.value)
    assert pages == 3
    assert [info.name for info in made.control("GET", "objects", key=token(BOB)).objects] == [name_of(b"theirs")]


def test_a_page_of_the_longest_descriptions_is_a_message():
    info = ObjectInfo(
        name=HELLO,
        size=2**64 - 1,
        created=2**64 - 1,
        expires=2**64 - 1,
        media_type="a/" + "b" * 253,
        access=AccessStats(reads=2**64 - 1, octets=2**64 - 1, last_read=2**64 - 1),
        state=ObjectState.STORED,
    )
    assert len(encode_message(ObjectList(objects=(info,) * MAX_PAGE, cursor=bytes(32)))) <= MAX_MESSAGE


def test_the_attributes_of_an_object_are_told_and_changed():
    made = Bench()
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 99}"),))
    made.get()
    made.get(headers=(("Range", "bytes=0-1"),))
    info = made.control("GET", INFO)
    assert info == ObjectInfo(
        name=HELLO,
        size=12,
        created=NOW + 1,
        expires=NOW + 99,
        access=AccessStats(reads=2, octets=14, last_read=NOW + 1),
        state=ObjectState.STORED,
    )
    assert made.control("PATCH", INFO, AttrPatch(expires=NOW + 50, media_type="text/plain")).status == 204
    changed = made.control("GET", INFO)
    assert changed == attrs.evolve(info, expires=NOW + 50, media_type="text/plain")
    assert made.control("PATCH", INFO, AttrPatch(media_type=None)).status == 204
    assert made.control("GET", INFO) == attrs.evolve(info, expires=NOW + 50)


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (AttrPatch(expires=None), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (AttrPatch(expires=NOW), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (AttrPatch(expires=NOW + 10**9), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (AttrPatch(media_type="text/plain", collections=(b"x",)), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (AttrPatch(media_type="text"), ErrorCode.MALFORMED),
        (AttrPatch(media_type="a/b\r\nSet-Cookie: x"), ErrorCode.MALFORMED),
        (Revocation(before=1), ErrorCode.MALFORMED),
        (b"\xff", ErrorCode.MALFORMED),
        (b"", ErrorCode.MALFORMED),
        (b"\x00" * (MAX_MESSAGE + 1), ErrorCode.TOO_LARGE),
    ],
)
def test_a_patch_that_is_refused_changes_nothing(patch, wanted):
    made = Bench()
    made.put()
    before = made.state()
    assert code(made.control("PATCH", INFO, patch, token(uses=1))) == wanted
    assert made.state() == before
    assert code(made.control("PATCH", f"objects/sha-256/{name_of(b'x').text}", patch)) == ErrorCode.NOT_FOUND


def test_an_object_that_goes_while_its_patch_comes_is_gone():
    made = Bench()
    made.put()
    body = encode_message(AttrPatch(media_type="a/b"))
    headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    upload = made.head("PATCH", DRP_PATH + INFO, token(), headers=headers)
    made.ask("DELETE", HELLO.path, token())
    upload.feed(body, 1.0)
    assert code(upload.finish(1.0)) == ErrorCode.GONE


def test_an_account_shares_out_what_it_has_among_its_applications():
    made = Bench()
    policy = ResourcePolicy(weight=3, storage=4, priority=Priority.HIGH)
    assert made.control("PUT", "policy/a%20b", policy).status == 204
    assert made.control("GET", "policy/a%20b") == policy
    assert made.control("GET", "policy") == ResourcePolicy(weight=1)
    assert made.tree.apps("alice") == ("a b", "live")
    assert made.control("DELETE", "policy/a%20b").status == 204
    assert code(made.control("GET", "policy/a%20b")) == ErrorCode.NOT_FOUND
    assert code(made.control("DELETE", "policy/a%20b")) == ErrorCode.NOT_FOUND


def test_a_policy_that_cannot_be_is_refused_and_changes_nothing():
    made = Bench()
    made.put(key=token(APP))
    before = made.state()
    once = token(uses=1)
    small = ResourcePolicy(weight=1, storage=len(OCTETS) - 1)
    assert code(made.control("PUT", "policy/live", small, once)) == ErrorCode.STORAGE_QUOTA
    guaranteed = ResourcePolicy(weight=1, guaranteed_download=1)
    assert code(made.control("PUT", "policy/live", guaranteed, once)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert code(made.control("DELETE", "policy/live", None, once)) == ErrorCode.CONFLICT
    assert code(made.control("PUT", "policy", ResourcePolicy(weight=9), once)) == ErrorCode.CLIENT_NOT_PERMITTED
    assert code(made.control("DELETE", "policy", None, once)) == ErrorCode.CLIENT_NOT_PERMITTED
    assert made.state() == before
    assert made.control("GET", "policy/live", None, once) == ResourcePolicy(weight=1)


def test_an_account_that_is_taken_away_while_its_policy_comes_has_none():
    made = Bench()
    body = encode_message(ResourcePolicy(weight=2))
    headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    upload = made.head("PUT", DRP_PATH + "policy/new", token(), headers=headers)
    upload.feed(body, 1.0)
    made.tree.remove(("alice", "live"))
    made.tree.remove(("alice",))
    assert code(upload.finish(1.0)) == ErrorCode.CLIENT_NOT_PERMITTED


def test_revocation_stops_a_token_by_its_identifier_by_time_and_by_key():
    for revocation in (Revocation(cti=(b"x" * 16,)), Revocation(before=NOW), Revocation(kid=MAC.kid)):
        made = Bench()
        made.put()
        key, theirs = token(cti=b"x" * 16), token(BOB, cti=b"x" * 16)
        assert made.get(key=key).status == 200
        assert made.control("POST", "revocations", revocation).status == 204
        assert code(made.get(key=key)) == ErrorCode.TOKEN_REVOKED
        assert code(made.get(key=theirs)) == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("of", ["cti", "before", "kid"])
def test_the_key_of_an_application_revokes_no_tokens_but_those_of_the_application(of):
    made, other = Bench(), HmacKey(bytes(range(32)), b"other")
    made.keys[other.kid] = RegisteredKey(other, ACCOUNT, ("other",))
    made.tree.put((ACCOUNT, "other"), ResourcePolicy(weight=1))
    made.put()
    mine, sibling, own = (token(key, cti=b"x" * 16) for key in (MAC, other, APP))

    def revoke(key, by):
        what = {"cti": {"cti": (b"x" * 16,)}, "before": {"before": NOW}, "kid": {"kid": key.kid}}[of]
        assert made.control("POST", "revocations", Revocation(**what), by).status == 204

    by = [token(APP, iat=NOW + 1) for _ in range(3)]
    for key, permit in zip((MAC, other, APP), by, strict=True):
        revoke(key, permit)
    assert [made.get(key=key).status for key in (mine, sibling, own)] == [200, 200, 401]
    revoke(other, token(MAC, iat=NOW + 1))
    assert code(made.get(key=sibling)) == ErrorCode.TOKEN_REVOKED


def test_a_token_may_revoke_itself():
    made = Bench()
    key = token(uses=5, cti=b"s" * 16)
    assert made.control("POST", "revocations", Revocation(cti=(b"s" * 16,)), key).status == 204
    assert code(made.control("GET", "status", None, key)) == ErrorCode.TOKEN_REVOKED
    assert made.server.requests == 0


def test_a_message_that_is_longer_or_shorter_than_announced_does_nothing():
    made = Bench()
    body = encode_message(Revocation(before=NOW))
    headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    upload = made.head("POST", DRP_PATH + "revocations", token(), headers=headers)
    assert code(upload.feed(body + b"\x00", 1.0)) == ErrorCode.MALFORMED
    upload = made.head("POST", DRP_PATH + "revocations", token(), headers=headers)
    assert upload.feed(body[:-1], 1.0) is None
    assert code(upload.finish(1.0)) == ErrorCode.MALFORMED
    upload = made.head("POST", DRP_PATH + "revocations", token(), headers=headers)
    upload.abort(1.0)
    assert made.server.requests == 0
    assert made.put().status == 201


NEEDED = {
    ("GET", "status"): Operation.STATUS,
    ("GET", "objects"): Operation.LIST,
    ("GET", INFO): Operation.ATTR_GET,
    ("PATCH", INFO): Operation.ATTR_SET,
    ("GET", "policy"): Operation.POLICY,
    ("GET", "policy/live"): Operation.POLICY,
    ("PUT", "policy/live"): Operation.POLICY,
    ("DELETE", "policy/live"): Operation.POLICY,
    ("POST", "revocations"): Operation.REVOKE,
}
BODIES = {"PATCH": AttrPatch(), "PUT": ResourcePolicy(weight=1), "POST": Revocation(cti=(b"q" * 16,))}


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_each_resource_needs_its_operation_and_no_other_will_do(method, path):
    operation = NEEDED[method, path]
    made = Bench()
    made.put()
    others = token(scope=((Everything(), ALL[0][1] & ~operation),))
    assert code(made.control(method, path, BODIES.get(method), others)) == ErrorCode.OP_NOT_PERMITTED
    of_object = token(scope=((Object(HELLO), operation),))
    answer = made.control(method, path, BODIES.get(method), of_object)
    if operation in (Operation.ATTR_GET, Operation.ATTR_SET):
        assert not hasattr(answer, "status") or answer.status == 204
    else:
        assert code(answer) == ErrorCode.OBJECT_NOT_PERMITTED
    own = made.control(method, path, BODIES.get(method), token(scope=((Everything(), operation),)))
    assert getattr(own, "status", 200) in (200, 204)


def test_heads_of_the_protocol_spend_nothing():
    made = Bench()
    once = token(uses=1)
    for _ in range(3):
        assert made.ask("HEAD", DRP_PATH + "status", once).status == 200
    assert isinstance(made.control("GET", "status", None, once), Status)
    assert code(made.control("GET", "status", None, once)) == ErrorCode.TOKEN_USED_UP
    assert TokenPolicy(uses=1).uses == 1


@pytest.mark.parametrize(
    "limits", [{"max_list_page": MAX_PAGE + 1}, {"max_list_page": 0}, {"max_token": 1000}], ids=str
)
def test_a_server_says_no_limit_that_it_does_not_keep(limits):
    with pytest.raises(ValueError, match=r"a page|tokens"):
        Bench(limits=limits)


def test_a_list_has_nothing_that_has_expired():
    """Section 5.5, also before it is removed"""
    made = Bench()
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 5}"),))
    assert len(made.control("GET", "objects").objects) == 1
    made.now = 5.0
    assert made.control("GET", "objects").objects == ()
    assert made.store.find("alice", HELLO) is not None


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("PUT", "policy/live", ResourcePolicy(weight=9)),
        ("PATCH", f"objects/sha-256/{HELLO.text}", AttrPatch(media_type="a/b")),
        ("POST", "revocations", Revocation(before=NOW)),
    ],
)
def test_a_message_whose_token_is_revoked_while_it_comes_does_nothing(method, path, message):
    """Section 5.3"""
    made, key, octets = Bench(), token(uses=1, cti=b"r" * 16), encode_message(message)
    made.put()
    fields = (("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(octets))))
    coming = made.head(method, DRP_PATH + path, key, headers=fields)
    assert coming.feed(octets, 1.0) is None
    made.control("POST", "revocations", Revocation(cti=(b"r" * 16,)))
    before = made.state()
    assert code(coming.finish(1.0)) == ErrorCode.TOKEN_REVOKED
    assert made.state()[:2] == before[:2]
    assert (made.server.requests, made.tree.policy(("alice", "live")).weight) == (0, 1)
    assert [use for use in made.uses() if use.uses] == []
    assert made.put().status == 204


@pytest.mark.parametrize(("size", "is_taken"), [(MAX_MESSAGE, True), (MAX_MESSAGE + 1, False)])
def test_a_message_has_so_many_octets_at_most(size, is_taken):
    """Section 5.2"""
    made = Bench()
    fields = (("Content-Type", MEDIA_TYPE), ("Content-Length", str(size)))
    answer = made.head("POST", f"{DRP_PATH}revocations", token(), headers=fields)
    if is_taken:
        answer.abort(1.0)
    else:
        assert (answer.status, code(answer)) == (413, ErrorCode.TOO_LARGE)
    assert made.server.requests == 0
