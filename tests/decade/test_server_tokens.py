"""Extensions of tokens at a server: chains, proof of possession, addresses, paths, and tokens that it mints."""

from ipaddress import ip_network
from itertools import count

import attrs
import pytest
from decade_chains import FEATURES, GRANT, HOLDERS, below, chain
from decade_server import ALL, HELLO, OCTETS, PEER, Bench, bearer, code, token, whole
from decade_tokens import ACCOUNT, CLAIMS, MAC, NOW, SERVER, SIGNING

from decade import cbor
from decade.cose import Ed25519SigningKey, Es256SigningKey
from decade.errors import ErrorCode
from decade.http import Request, Response
from decade.messages import (
    MEDIA_TYPE,
    ChallengeRequest,
    Direction,
    Remote,
    ResourcePolicy,
    Revocation,
    TokenRequest,
    TokenResponse,
    TransferRequest,
    decode_message,
    encode_message,
)
from decade.names import name_of
from decade.pop import WINDOW, sign
from decade.scope import Confirmation, Everything, Object, Operation
from decade.settings import Extension
from decade.tokens import TokenFeature, TokenPolicy, delegate, mint, read_claims
from decade.values import BitRate, Weight

OWN = Ed25519SigningKey(bytes([9] * 32))
HOLDER = HOLDERS[0]
READ_ALL = ((Everything(), Operation.GET),)
PROVED = {"cnf": Confirmation(key=HOLDER.public.cose_key)}


@pytest.fixture
def bench():
    numbers = count(1)
    made = Bench(
        extensions=FEATURES | {TokenFeature.MINT},
        mint_key=OWN,
        random_bytes=lambda size: next(numbers).to_bytes(size),
    )
    made.put()
    return made


def grant(**members):
    """A grant with much of everything, for `chain`."""
    policy = attrs.evolve(GRANT.policy, **members.pop("policy", {}))
    return attrs.evolve(GRANT, policy=policy, **members)


def held(**members):
    """A token that asks for a proof of possession."""
    return mint(attrs.evolve(CLAIMS, **(PROVED | {"scope": ALL, "policy": None} | members)), SIGNING)


def proved(method, path, octets, *, key=HOLDER, created=NOW + 1, nonce="0123456789abcdef", body=b"", **changed):
    """A signed request, as a server sees it, and its body."""
    headers = bearer(octets) + (
        (("Content-Length", str(len(body))), ("Content-Type", changed.pop("kind", MEDIA_TYPE))) if body else ()
    )
    asked = Request(method, SERVER + path, headers, body)
    fields = sign(asked, key, created=created, nonce=nonce)
    return attrs.evolve(asked, target=path, headers=(*headers, *fields), body=b""), body


def answer(bench, asked, peer=PEER):
    request, body = asked
    found = bench.server.handle(request, peer, bench.now)
    if not isinstance(found, Response):
        found = found.feed(body, bench.now) or found.finish(bench.now)
    return whole(found, bench.now)


def test_a_server_says_which_extensions_it_has_and_with_which_key_it_mints():
    info = Bench(extensions=FEATURES | {TokenFeature.MINT}, mint_key=OWN).server._core.settings.info
    names = "app-path collections delegation ed25519 es256 ip-prefix mint pop signed-names"
    assert info.features == tuple(names.split())
    assert [dict(key) for key in info.keys] == [dict(OWN.public.cose_key)]
    for wrong in ({"mint_key": OWN}, {"extensions": frozenset({TokenFeature.MINT})}):
        with pytest.raises(ValueError, match="mints"):
            Bench(**wrong)


def test_a_server_without_extensions_refuses_the_tokens_that_use_them():
    plain = Bench()
    plain.put()
    path = [ip_network("192.0.2.0/24")]
    for octets in (
        chain(1)[0],
        held(),
        token(ip_prefixes=tuple(path)),
        token(app_path=("live",)),
        token(levels=1),
        token(Ed25519SigningKey(SIGNING.seed, -19)),
    ):
        assert code(plain.get(key=octets)) in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)
    assert code(plain.control("POST", "tokens", TokenRequest(scope=ALL, lifetime=60))) == ErrorCode.NOT_FOUND


def test_other_algorithms_are_of_use_where_they_are_supported(bench):
    key = Es256SigningKey(bytes([7] * 32))
    bench.keys[key.kid] = attrs.evolve(bench.keys[SIGNING.kid], key=key.public)
    assert bench.get(key=token(key)).status == 200
    assert bench.get(key=token(Ed25519SigningKey(SIGNING.seed, -19))).status == 200


def test_a_chain_reads_for_the_account_and_every_level_is_charged(bench):
    octets, _ = chain(3, first=grant(), policy={"amount": 30})
    assert bench.get(key=octets).status == 200
    assert bench.get(key=octets).status == 200
    assert code(bench.get(key=octets)) == ErrorCode.AMOUNT_EXHAUSTED
    used = [entry.use for entry in bench.ledger._entries.values()]
    assert [(use.uses, use.amount) for use in used] == [(2, 24)] * 4
    # The tokens above have their own rest.
    other = delegate(mint(grant(), SIGNING), HOLDER, below(grant(), 1, cti=bytes([66] * 16), cnf=None))
    assert bench.get(key=other).status == 200


def test_the_uses_of_a_grant_are_shared_by_all_that_is_below(bench):
    first = grant(policy={"uses": 3})
    parent = mint(first, SIGNING)
    tokens = [delegate(parent, HOLDER, below(first, 1, cti=bytes([n] * 16), cnf=None)) for n in range(4)]
    assert [bench.get(key=octets).status for octets in tokens] == [200, 200, 200, 401]
    assert code(bench.get(key=tokens[0])) == ErrorCode.TOKEN_USED_UP


def test_the_connections_of_a_grant_are_shared_by_all_that_is_below(bench):
    first = grant(policy={"connections": 2})
    parent = mint(first, SIGNING)
    tokens = [delegate(parent, HOLDER, below(first, 1, cti=bytes([n] * 16), cnf=None)) for n in range(3)]
    before = bench.state()
    open_ones = [bench.head("GET", HELLO.path, octets) for octets in tokens]
    assert [one.status for one in open_ones] == [200, 200, 429]
    for one in open_ones[:2]:
        one.body.close(bench.now)
    assert bench.state() == before


@pytest.mark.parametrize("bandwidth", [BitRate(8000), Weight(3)])
def test_the_bandwidth_of_a_grant_is_one_flow_for_all_that_is_below(bench, bandwidth):
    first = grant(policy={"bandwidth": bandwidth})
    parent = mint(first, SIGNING)
    tokens = [delegate(parent, HOLDER, below(first, 1, cti=bytes([n] * 16), cnf=None)) for n in range(2)]
    terms = []
    for octets in tokens:
        body = bench.head("GET", HELLO.path, octets).body
        terms.append(body.terms)
        body.close(bench.now)
    assert terms[0] == terms[1]
    assert terms[0].token == (SIGNING.public.thumbprint, GRANT.cti)


def test_a_revoked_grant_takes_all_that_is_below_with_it(bench):
    octets, claims = chain(3)
    assert bench.get(key=octets).status == 200
    assert bench.control("POST", "revocations", Revocation(cti=(claims[1].cti,))).status == 204
    assert code(bench.get(key=octets)) == ErrorCode.TOKEN_REVOKED
    assert bench.get(key=chain(3, first=grant(), cti=bytes(16))[0]).status == 401
    other = delegate(mint(GRANT, SIGNING), HOLDER, below(GRANT, 1, cti=bytes([55] * 16), cnf=None))
    assert bench.get(key=other).status == 200
    assert bench.control("POST", "revocations", Revocation(kid=HOLDER.kid)).status == 204
    assert code(bench.get(key=other)) == ErrorCode.TOKEN_REVOKED


@pytest.mark.parametrize("key", HOLDERS[:2])
def test_whoever_proves_to_hold_the_key_of_a_token_may_use_it_once_a_signature(bench, key):
    octets = held(cnf=Confirmation(key=key.public.cose_key))
    asked = proved("GET", HELLO.path, octets, key=key)
    assert answer(bench, asked).body == OCTETS
    assert code(answer(bench, asked)) == ErrorCode.POP_FAILED
    assert answer(bench, proved("GET", HELLO.path, octets, key=key, nonce="another nonce of it")).status == 200
    assert code(bench.get(key=octets)) == ErrorCode.POP_FAILED


@pytest.mark.parametrize("cnf", [Confirmation(kid=SIGNING.kid), Confirmation(thumbprint=SIGNING.kid)])
def test_a_token_may_name_a_key_that_the_server_knows(bench, cnf):
    octets = held(cnf=cnf)
    assert answer(bench, proved("GET", HELLO.path, octets, key=SIGNING)).status == 200
    assert code(answer(bench, proved("GET", HELLO.path, octets))) == ErrorCode.POP_FAILED
    del bench.keys[SIGNING.kid]
    bench.keys[MAC.kid] = bench.keys[MAC.kid]
    again = mint(attrs.evolve(CLAIMS, scope=ALL, policy=None, cnf=cnf), MAC)
    fresh = proved("GET", HELLO.path, again, key=SIGNING, nonce="a third nonce of it")
    assert code(answer(bench, fresh)) == ErrorCode.POP_FAILED


@pytest.mark.parametrize("cnf", [Confirmation(kid=MAC.kid), Confirmation(thumbprint=MAC.thumbprint)])
def test_a_shared_secret_proves_nothing(bench, cnf):
    octets = held(cnf=cnf)
    assert code(answer(bench, proved("GET", HELLO.path, octets))) == ErrorCode.POP_FAILED


def test_a_signature_is_for_its_method_its_target_and_its_token_and_now(bench):
    octets = held()
    request, _ = proved("GET", HELLO.path, octets)
    other = bearer(held(cti=bytes([7] * 16)))
    for changed in (
        attrs.evolve(request, method="DELETE"),
        attrs.evolve(request, target="/decade/v1/status"),
        attrs.evolve(request, headers=(*other, *request.headers[1:])),
    ):
        assert code(answer(bench, (changed, b""))) == ErrorCode.POP_FAILED
    for created in (NOW - WINDOW, NOW + 2 + WINDOW, 0):
        assert code(answer(bench, proved("GET", HELLO.path, octets, created=created))) == ErrorCode.POP_FAILED
    assert answer(bench, (request, b"")).status == 200


def test_a_proof_that_fails_uses_nothing_and_counts_as_a_bad_token(bench):
    octets = held(policy=TokenPolicy(uses=1))
    before = bench.state()
    for _ in range(100):
        assert code(bench.get(key=octets)) == ErrorCode.POP_FAILED
    assert bench.state() == before
    assert code(bench.get(key=octets)) == ErrorCode.RATE_LIMITED


def test_the_body_of_a_signed_request_is_the_one_that_was_signed(bench):
    octets = held()
    put = proved("PUT", HELLO.path, octets, body=OCTETS, kind="text/plain")
    assert answer(bench, put).status == 204
    wrong = proved("PUT", HELLO.path, octets, body=b"Hello world!", nonce="another nonce of it")
    assert code(answer(bench, wrong)) == ErrorCode.POP_FAILED
    body = encode_message(Revocation(cti=(bytes(16),)))
    request, _ = proved("POST", "/decade/v1/revocations", octets, body=body, nonce="a third nonce of it")
    swapped = encode_message(Revocation(cti=(bytes([1] * 16),)))
    assert code(answer(bench, (request, swapped))) == ErrorCode.POP_FAILED
    request, _ = proved("POST", "/decade/v1/revocations", octets, body=body, nonce="a fourth nonce of it")
    assert answer(bench, (request, body)).status == 204


def test_requests_whose_body_names_the_objects_are_proved_too():
    bench = Bench(extensions=FEATURES | {Extension.CHALLENGE, Extension.PULL, Extension.PUSH})
    asked = encode_message(ChallengeRequest(name=HELLO))
    found = answer(bench, proved("POST", "/decade/v1/challenges", held(), body=asked))
    assert decode_message(found.body).name == HELLO
    order = TransferRequest(
        direction=Direction.PUSH, objects=(HELLO,), remote=Remote(object_template="https://sa.example/{alg}/{val}")
    )
    octets = held(scope=((Object(HELLO), Operation.PUSH),))
    for nonce, method, is_right in (("nonce of the first", "POST", True), ("nonce of the first", "POST", False)):
        request = proved(method, "/decade/v1/transfers", octets, body=encode_message(order), nonce=nonce)
        assert (code(answer(bench, request)) != ErrorCode.POP_FAILED) == is_right


def test_a_token_is_for_the_addresses_that_it_names(bench):
    octets = token(ip_prefixes=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    for peer, is_right in (
        (("192.0.2.255", 1), True),
        (("192.0.3.0", 1), False),
        (("::ffff:192.0.2.7", 1), True),
        (("2001:db8:1::7", 1), True),
        (("2001:db9::7", 1), False),
        (("unix", 1), False),
        (None, False),
    ):
        found = bench.server.handle(Request("HEAD", HELLO.path, bearer(octets)), peer, bench.now)
        assert (found.status, code(found) if found.body else None) == ((200, None) if is_right else (403, None))
    # The operation and the object come first.
    narrow = token(scope=((Object(HELLO), Operation.GET),), ip_prefixes=(ip_network("10.0.0.0/8"),))
    assert code(bench.ask("DELETE", HELLO.path, narrow)) == ErrorCode.OP_NOT_PERMITTED
    assert code(bench.get(key=narrow)) == ErrorCode.CLIENT_NOT_PERMITTED


def test_a_token_charges_the_node_that_it_names_at_or_below_that_of_its_key(bench):
    bench.tree.put((ACCOUNT, "live"), ResourcePolicy(weight=1, storage=15))
    assert bench.put(b"live object", token(app_path=("live",))).status == 201
    assert bench.quotas.holding((ACCOUNT, "live")).used == 11
    assert code(bench.put(b"too much", token(app_path=("live",)))) == ErrorCode.STORAGE_QUOTA
    assert bench.put(b"too much", token(app_path=())).status == 201
    app = next(one.key for one in bench.keys.values() if one.app)
    assert bench.get(key=token(app, app_path=("live",))).status == 200
    for path in ((), ("other",)):
        assert code(bench.get(key=token(app, app_path=path))) == ErrorCode.TOKEN_MALFORMED
    assert code(bench.get(key=token(app_path=("nobody",)))) == ErrorCode.CLIENT_NOT_PERMITTED


def ask_for(bench, key, *, scope=READ_ALL, lifetime=60, **members):
    return bench.control("POST", "tokens", TokenRequest(scope=scope, lifetime=lifetime, **members), key=key)


def claims_of(octets):
    return read_claims(cbor.decode(octets, tags=frozenset({17, 18, 61})).value.value[2], is_own=True)


def test_a_server_mints_tokens_that_it_accepts(bench):
    found = ask_for(bench, token(), count=3, policy=TokenPolicy(uses=1))
    assert isinstance(found, TokenResponse)
    assert (len(found.tokens), found.exp) == (3, NOW + 61)
    for octets in found.tokens:
        assert [bench.get(key=octets).status for _ in range(2)] == [200, 401]
        assert code(bench.ask("DELETE", HELLO.path, octets)) == ErrorCode.TOKEN_USED_UP
    assert claims_of(found.tokens[0]).sub == ACCOUNT
    bob = next(one.key for one in bench.keys.values() if one.account == "bob")
    (other,) = ask_for(bench, token(bob)).tokens
    assert code(bench.get(key=other)) == ErrorCode.NOT_FOUND


def test_what_it_mints_is_no_wider_than_the_token_that_asks(bench):
    narrow = token(
        scope=((Everything(), Operation.GET | Operation.MINT),),
        amount=100,
        lifetime=60,
        ip_prefixes=(ip_network("192.0.2.0/24"),),
        app_path=("live",),
        collections=(b"c",),
    )
    good = {"amount": 100, "lifetime": 60, "ip_prefixes": (ip_network("192.0.2.1/32"),), "app_path": ("live",)}
    good |= {"collections": (b"b", b"c")}
    row = bench.store.find("alice", HELLO)
    bench.store.update("alice", HELLO, lambda held: attrs.evolve(row, collections=(b"b", b"c")))
    for members in (
        {"scope": ALL},
        {"lifetime": 3601},
        {"lifetime": 0},
        {"policy": TokenPolicy(**good | {"amount": 101})},
        {"policy": TokenPolicy(**good | {"ip_prefixes": None})},
        {"policy": TokenPolicy(**good | {"app_path": ()})},
        {"policy": TokenPolicy(**good | {"collections": (b"b", b"d")})},
        {"policy": TokenPolicy(**good), "cnf": Confirmation(key={1: 1})},
    ):
        before = bench.state()
        given = {"policy": TokenPolicy(**good)} | members
        assert code(ask_for(bench, narrow, **given)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
        assert bench.state() == before
    (octets,) = ask_for(bench, narrow, policy=TokenPolicy(**good | {"app_path": None})).tokens
    assert claims_of(octets).policy.app_path == ("live",)
    assert bench.get(key=octets).status == 200
    assert code(ask_for(bench, token(connections=5))) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert code(ask_for(bench, token(bandwidth=Weight(2)))) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    only_get = token(scope=((Everything(), Operation.GET),))
    assert code(ask_for(bench, only_get)) == ErrorCode.OP_NOT_PERMITTED


def test_what_it_mints_begins_no_earlier_than_the_token_that_asks(bench):
    late = mint(attrs.evolve(CLAIMS, nbf=NOW + 30, scope=ALL, policy=None), MAC)
    (octets,) = ask_for(bench, late).tokens
    assert claims_of(octets).nbf == NOW + 30


def test_what_the_asking_token_may_use_is_split_and_not_copied(bench):
    asking = token(amount=100, uses=10)
    assert len(ask_for(bench, asking, count=2, policy=TokenPolicy(amount=40, uses=3)).tokens) == 2
    short = ask_for(bench, asking, policy=TokenPolicy(amount=40, uses=1))
    assert code(short) == ErrorCode.AMOUNT_EXHAUSTED
    assert len(ask_for(bench, asking, policy=TokenPolicy(amount=20, uses=2)).tokens) == 1
    # Three requests that were answered, and eight uses given away, are more than ten.
    assert code(ask_for(bench, asking, policy=TokenPolicy(amount=0, uses=1))) == ErrorCode.TOKEN_USED_UP


def test_a_batch_has_what_fits_in_a_message(bench):
    scope = tuple((Object(name_of(bytes([n]))), Operation.GET) for n in range(8))
    found = ask_for(bench, token(), scope=scope, count=256)
    assert 64 < len(found.tokens) < 256
    assert 65536 - 2 * len(found.tokens[0]) < len(encode_message(found)) <= 65536


@pytest.mark.parametrize("of", ["cti", "kid", "before", "own"])
def test_the_revocation_of_the_asking_token_reaches_what_was_minted(bench, of):
    asking = chain(1, first=grant(scope=ALL, policy={"uses": None, "amount": None}), cnf=None)
    minted = ask_for(bench, asking[0]).tokens[0]
    again = ask_for(bench, minted, scope=ALL)
    assert code(again) == ErrorCode.OP_NOT_PERMITTED
    minted = ask_for(bench, asking[0], scope=ALL).tokens[0]
    again = ask_for(bench, minted).tokens[0]
    assert bench.get(key=again).status == 200
    revocation = {
        "cti": Revocation(cti=(asking[1][0].cti,)),
        "kid": Revocation(kid=HOLDER.kid),
        "before": Revocation(before=NOW),
        "own": Revocation(kid=OWN.kid),
    }[of]
    assert bench.control("POST", "revocations", revocation, key=token(iat=NOW + 1)).status == 204
    assert code(bench.get(key=again)) == ErrorCode.TOKEN_REVOKED


def test_an_application_revokes_what_was_minted_by_its_right_and_not_by_that_of_its_account(bench):
    app = next(one.key for one in bench.keys.values() if one.app)
    minted = [ask_for(bench, token(key, app_path=("live",))).tokens[0] for key in (MAC, app)]
    for by in (token(app, iat=NOW + 1), token(MAC, iat=NOW + 1, app_path=("live",))):
        assert bench.control("POST", "revocations", Revocation(before=NOW + 1), key=by).status == 204
    assert bench.get(key=minted[0]).status == 200
    assert code(bench.get(key=minted[1])) == ErrorCode.TOKEN_REVOKED


def test_tokens_for_who_proves_what_it_holds_ask_for_a_proof_too(bench):
    octets = held()
    body = encode_message(TokenRequest(scope=((Everything(), Operation.GET),), lifetime=60))
    found = answer(bench, proved("POST", "/decade/v1/tokens", octets, body=body))
    (minted,) = decode_message(found.body).tokens
    assert claims_of(minted).cnf == Confirmation(key=HOLDER.public.cose_key)
    assert code(bench.get(key=minted)) == ErrorCode.POP_FAILED
    assert answer(bench, proved("GET", HELLO.path, minted, nonce="another nonce of it")).status == 200


def test_a_key_that_is_taken_away_or_moved_takes_what_was_minted_by_its_right_with_it(bench):
    asking = chain(1, first=grant(scope=ALL, policy={"uses": None, "amount": None}), cnf=None)[0]
    (minted,) = ask_for(bench, asking, scope=ALL).tokens
    (again,) = ask_for(bench, minted).tokens
    known = bench.keys[SIGNING.kid]
    for changed in (None, attrs.evolve(known, account="bob"), attrs.evolve(known, app=("live",))):
        assert [bench.get(key=octets).status for octets in (minted, again)] == [200, 200]
        bench.keys[SIGNING.kid] = changed
        assert code(bench.get(key=minted)) == ErrorCode.TOKEN_BAD_SIGNATURE
        assert code(bench.get(key=again)) == ErrorCode.TOKEN_BAD_SIGNATURE
        bench.keys[SIGNING.kid] = known


def test_a_token_by_the_key_of_the_server_that_is_not_as_it_mints_is_malformed(bench):
    for members in ({}, {"sub": ACCOUNT}, {"sub": ACCOUNT, "policy": TokenPolicy(app_path=())}):
        octets = mint(attrs.evolve(CLAIMS, **({"policy": None} | members)), OWN)
        assert code(bench.get(key=octets)) == ErrorCode.TOKEN_MALFORMED


def test_nobody_else_can_say_whose_a_token_is_or_by_whose_right(bench):
    (minted,) = ask_for(bench, token()).tokens
    stolen = attrs.evolve(claims_of(minted), cti=bytes([3] * 16))
    bob = next(one.key for one in bench.keys.values() if one.account == "bob")
    assert code(bench.get(key=mint(stolen, bob))) == ErrorCode.TOKEN_MALFORMED
    assert code(bench.get(key=mint(attrs.evolve(stolen, sub=None), bob))) == ErrorCode.NOT_FOUND
    other = mint(stolen, Ed25519SigningKey(bytes([8] * 32)))
    assert code(bench.get(key=other)) == ErrorCode.TOKEN_BAD_SIGNATURE


def test_a_server_that_was_called_once_knows_when_it_has_started():
    bench = Bench(extensions=FEATURES)
    bench.server.handle_timer(5.0)
    bench.now = 9.0
    assert code(answer(bench, proved("GET", HELLO.path, held(), created=NOW + 4))) == ErrorCode.POP_FAILED
    assert code(answer(bench, proved("GET", HELLO.path, held(), created=NOW + 5))) == ErrorCode.NOT_FOUND
