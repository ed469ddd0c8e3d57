"""Plans of the resource protocol, run against the server and against servers that say something else."""

import contextlib

import pytest
from decade_client import asks, failed, mine, run, served
from decade_messages import ANY_MESSAGE
from decade_server import HELLO, OCTETS, Bench, token
from decade_tokens import NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.client_control import Control, server_info
from decade.client_exchange import Credential, FailedError
from decade.errors import ErrorCode
from decade.http import Response
from decade.messages import (
    AttrPatch,
    Challenge,
    Claim,
    Direction,
    Limits,
    Remote,
    ResourcePolicy,
    Revocation,
    ServerInfo,
    Status,
    TokenRequest,
    TokenResponse,
    TransferRequest,
    TransferState,
    TransferStatus,
    encode_message,
)
from decade.names import name_of
from decade.scope import Everything, Operation
from decade.settings import LOGS

BASE = f"{SERVER}/decade/v1/"


def control():
    return Control(BASE, mine())


def said(message, status=200):
    return lambda step: Response(status, (), encode_message(message))


def test_a_server_says_what_it_is_and_where_its_resources_are():
    info, steps = run(server_info(SERVER), served(Bench()))
    assert (info.server, info.drp_base) == (SERVER, BASE)
    assert [request.target for request in asks(steps)] == [f"{SERVER}/.well-known/decade"]


def test_a_server_of_another_version_is_refused():
    limits = Limits(max_object=1, max_ttl=1, max_token=1, max_token_life=1, max_list_page=1, max_transfer_objects=1)
    info = ServerInfo(
        versions=(2, 3),
        server=SERVER,
        object_template="x",
        drp_base=BASE,
        hash_algorithms=("sha-256",),
        limits=limits,
        features=(),
    )
    assert failed(server_info(SERVER), said(info))[0].code == ErrorCode.UNSUPPORTED_VERSION


def test_what_an_account_has():
    made = Bench()
    made.put()
    status, _ = run(control().status(), served(made))
    assert isinstance(status, Status)
    assert status.usage.stored == 12


def test_policies_of_applications():
    made = Bench()
    policy = ResourcePolicy(weight=7, storage=1000)
    run(control().put_policy(policy, "films & music/é"), served(made))
    assert run(control().policy("films & music/é"), served(made))[0] == policy
    assert run(control().policy(), served(made))[0].weight == 1
    run(control().delete_policy("films & music/é"), served(made))
    assert failed(control().policy("films & music/é"), served(made))[0].code == ErrorCode.NOT_FOUND


def test_objects_are_listed_page_by_page():
    made = Bench(limits={"max_list_page": 2})
    octets = [bytes((number,)) for number in range(5)]
    for one in octets:
        made.put(one)
    found, cursor = [], None
    while True:
        page, _ = run(control().objects(cursor), served(made))
        found += page.objects
        cursor = page.cursor
        if cursor is None:
            break
    assert {info.name for info in found} == set(map(name_of, octets))


def test_attributes_of_an_object():
    made = Bench()
    made.put()
    run(control().patch_object(HELLO, AttrPatch(expires=NOW + 99, media_type="text/plain")), served(made))
    info, _ = run(control().object_info(HELLO), served(made))
    assert (info.size, info.expires, info.media_type) == (len(OCTETS), NOW + 99, "text/plain")
    assert failed(control().object_info(name_of(b"x")), served(made))[0].code == ErrorCode.NOT_FOUND


def test_a_revoked_token_is_worth_nothing():
    made = Bench()
    other = Control(BASE, (Credential.of(token(cti=bytes(16))),))
    run(other.status(), served(made))
    run(control().revoke(Revocation(cti=(bytes(16),))), served(made))
    assert failed(other.status(), served(made))[0].code == ErrorCode.TOKEN_REVOKED


def test_transfers_tokens_and_challenges_go_to_their_resources():
    """What the parts of a server make of them is theirs to test."""
    status = TransferStatus(id=bytes(8), state=TransferState.QUEUED, items=(), done=0)
    request = TransferRequest(direction=Direction.PULL, objects=(HELLO,), remote=Remote(object_template="https://sa/"))
    answered = [
        (control().start_transfer(request), "POST", "transfers", status, 202),
        (control().transfer(bytes(8)), "GET", "transfers/0000000000000000", status, 200),
        (
            control().tokens(TokenRequest(scope=((Everything(), Operation.GET),), lifetime=60)),
            "POST",
            "tokens",
            TokenResponse(tokens=(b"x",), exp=NOW),
            200,
        ),
        (
            control().challenge(HELLO),
            "POST",
            "challenges",
            Challenge(name=HELLO, seed=bytes(32), algorithm="sha-256", expires=NOW),
            200,
        ),
    ]
    for plan, method, path, message, code in answered:
        result, steps = run(plan, said(message, code))
        assert result == message
        assert (asks(steps)[0].method, asks(steps)[0].target) == (method, BASE + path)
    for plan, method, path in (
        (control().cancel_transfer(bytes(8)), "DELETE", "transfers/0000000000000000"),
        (control().claim(Claim(name=HELLO, seed=bytes(32), proof=bytes(32))), "POST", "claims"),
    ):
        _, steps = run(plan, lambda step: Response(204, (), b""))
        assert (asks(steps)[0].method, asks(steps)[0].target) == (method, BASE + path)


@pytest.mark.parametrize("body", [b"", b"\xff", encode_message(Revocation(before=1)), bytes(70000)])
def test_what_is_no_status_is_a_failure(body):
    assert failed(control().status(), lambda step: Response(200, (), body))[0].is_blamed


@given(st.integers(100, 599), st.binary() | ANY_MESSAGE.map(encode_message))
def test_any_answers_end_a_plan(number, body):
    for plan in (server_info(SERVER), control().status(), control().objects()):
        with contextlib.suppress(FailedError):
            run(plan, lambda step: Response(number, (("Location", "/elsewhere"),), body))


def test_logs_are_asked_for_page_by_page():
    made = Bench(extensions=LOGS)
    made.put()
    made.get()
    log, steps = run(control().access_log(NOW, NOW + 5), served(made))
    assert [(entry.name, entry.reads) for entry in log.entries] == [(HELLO, 1)]
    assert asks(steps)[-1].target == f"{BASE}access-log?from={NOW}&to={NOW + 5}"
    log, _ = run(control().distribution_log(0), served(made))
    assert log.servers == ()
    log, steps = run(control().distribution_log(0, cursor=log.cursor), served(made))
    assert [entry.name for entry in log.clients] == [HELLO]
    assert asks(steps)[-1].target.endswith("?from=0&cursor=Yw")
    assert failed(control().access_log(0), served(Bench()))[0].code == ErrorCode.NOT_FOUND
