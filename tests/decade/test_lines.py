"""The line of a server: what goes at once, shares and ceilings that the policy tree says, and who waits."""

import pytest
from decade_server import ACCOUNT, APP, BOB, OCTETS, Bench, token
from decade_tokens import MAC

from decade.messages import MEDIA_TYPE, ResourcePolicy
from decade.names import name_of
from decade.scheduler import LONE_QUANTUM
from decade.values import BitRate, Priority, Weight

LONG = bytes(4_000_000)
RATE = 8_000_000
"""Bit/s: a mebibyte takes a good second."""


def bench(**more):
    made = Bench(egress_bps=RATE, **more)
    for key in (MAC, BOB, APP):
        made.put(LONG, token(key))
    return made


def open_download(made, key=MAC, **policy):
    return made.head("GET", name_of(LONG).path, token(key, **policy)).body


def run(made, downloads, until):
    """Send what may be sent, as a driver does: the octets of each when it is `until`."""
    now, sent, owed = made.now, dict.fromkeys(downloads, 0), dict.fromkeys(downloads, 0)
    while True:
        for download in downloads:
            while not owed[download]:
                octets = made.server.take(download, LONE_QUANTUM, now)
                sent[download] += octets
                owed[download] = 0 if octets else LONE_QUANTUM
                if octets and now >= until:
                    return sent
        while (grant := made.server.grant(now)) is not None:
            sent[grant.transfer] += grant.octets
            owed[grant.transfer] -= grant.octets
        timer = made.server.get_timer() if all(owed.values()) else now
        if timer > until:
            return sent
        now = max(now, timer)


def test_without_a_ceiling_a_short_object_goes_at_once():
    made = Bench()
    made.put()
    download = made.head("GET", name_of(OCTETS).path, token()).body
    assert made.server.take(download, download.length, 1.0) == download.length
    assert made.server.grant(1.0) is None
    assert made.server.take(download, 10**9, 1.0) == LONE_QUANTUM


def test_accounts_share_what_the_server_sends_by_their_weights():
    made = bench()
    made.tree.put((ACCOUNT,), ResourcePolicy(weight=3))
    alice, bob = open_download(made), open_download(made, BOB)
    sent = run(made, [alice, bob], 11.0)
    assert sum(sent.values()) == pytest.approx(RATE / 8 * 10, rel=0.03)
    assert sent[alice] / sent[bob] == pytest.approx(3, rel=0.02)


def test_a_token_competes_inside_the_share_of_its_account_only():
    made = bench()
    urgent = open_download(made, priority=Priority.URGENT, bandwidth=Weight(100))
    bob = open_download(made, BOB)
    sent = run(made, [urgent, bob], 11.0)
    assert sent[urgent] / sent[bob] == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("where", ["account", "token"])
def test_a_ceiling_holds_and_others_have_the_rest(where):
    made = bench()
    if where == "account":
        made.tree.put((ACCOUNT,), ResourcePolicy(weight=1, ceiling_download=RATE // 10))
    policy = {} if where == "account" else {"bandwidth": BitRate(RATE // 10)}
    slow, bob = open_download(made, **policy), open_download(made, BOB)
    sent = run(made, [slow, bob], 11.0)
    assert sent[slow] == pytest.approx(RATE / 80 * 10, rel=0.04)
    assert sum(sent.values()) == pytest.approx(RATE / 8 * 10, rel=0.03)


@pytest.mark.parametrize("where", ["server", "account", "token"])
def test_processes_of_a_server_have_no_more_together_than_a_ceiling(where):
    sent = []
    for _ in range(3):
        made = Bench(processes=3, egress_bps=RATE if where == "server" else None)
        made.put(LONG)
        if where == "account":
            made.tree.put((ACCOUNT,), ResourcePolicy(weight=1, ceiling_download=RATE))
        download = open_download(made, **({"bandwidth": BitRate(RATE)} if where == "token" else {}))
        sent += run(made, [download], 10.0).values()
    # Each may be a burst ahead.
    assert sum(sent) == pytest.approx(RATE / 8 * 9, rel=0.1)
    assert max(sent) == min(sent)


def test_a_ceiling_that_is_put_while_objects_are_sent_holds_from_then_on():
    made = Bench()
    made.put(LONG, token(APP))
    download = open_download(made, APP)
    assert made.server.take(download, LONE_QUANTUM, 1.0) == LONE_QUANTUM
    policy = ResourcePolicy(weight=1, ceiling_download=RATE)
    assert made.control("PUT", "policy/live", policy).status == 204
    assert run(made, [download], 11.0)[download] == pytest.approx(RATE / 8 * 10, rel=0.05)


def test_who_waits_when_its_node_is_removed_is_told_to_end():
    made = bench()
    first, second = open_download(made, APP), open_download(made, APP)
    while made.server.take(first, LONE_QUANTUM, 1.0):
        pass
    assert made.ask("DELETE", name_of(LONG).path, token(APP)).status == 204
    assert made.control("DELETE", "policy/live").status == 204
    assert made.server.take(second, 1, 1.0) == 0
    assert made.server.get_timer() < 1.0
    ended = [made.server.grant(1.0) for _ in range(2)]
    assert {(grant.transfer, grant.octets) for grant in ended} == {(first, 0), (second, 0)}
    for download in (first, second):
        download.close(1.0)
    assert made.server.grant(1.0) is None


def test_a_download_that_is_closed_waits_no_more():
    made = bench()
    download = open_download(made)
    while made.server.take(download, LONE_QUANTUM, 1.0):
        pass
    download.close(1.0)
    assert made.server.grant(9.0) is None


def test_an_upload_that_waits_for_the_line_is_not_taken_for_one_that_stalls():
    made = Bench(policy=ResourcePolicy(weight=1, ceiling_upload=8_000))
    size = (("Content-Length", "80000"),)
    upload = made.head("PUT", name_of(bytes(80_000)).path, token(), headers=size)
    assert upload.feed(bytes(40_000), 1.0) is None
    assert made.server.take(upload, 40_000, 1.0) == 16 * 1024
    owed = 40_000 - 16 * 1024
    assert made.server.take(upload, owed, 1.0) == 0
    while owed:
        now = made.server.get_timer()
        assert made.server.handle_timer(now) is None
        grant = made.server.grant(now)
        owed -= grant.octets if grant is not None else 0
    assert now == pytest.approx(1 + 32.0, rel=0.1)
    assert upload.feed(bytes(40_000), now) is None
    assert made.server.get_timer() == pytest.approx(now + 30)
    upload.abort(now)
    assert made.server.get_timer() is None


def test_a_message_does_not_wait_for_the_line():
    made = Bench(policy=ResourcePolicy(weight=1, ceiling_upload=8))
    headers = (("Content-Length", "9"), ("Content-Type", MEDIA_TYPE))
    upload = made.head("POST", "/decade/v1/revocations", token(), headers=headers)
    assert made.server.take(upload, 9, 1.0) == 9


def test_who_ends_before_it_hears_that_its_node_is_gone_is_granted_nothing():
    made = bench()
    download = open_download(made, APP)
    made.tree.remove((ACCOUNT, "live"))
    assert made.server.take(download, LONE_QUANTUM, made.now) == 0
    download.close(made.now)
    assert made.server.grant(made.now) is None
