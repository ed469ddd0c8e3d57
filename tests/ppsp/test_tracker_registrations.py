"""The PPSTP tracker: what CONNECT, FIND and STAT_REPORT do, and what they say."""

from collections import Counter

import pytest
from ppstp_server import JOIN, LEAVE, LEECH, SEEDER, ask, connect, find, join, listed, report, stats, tracker

from ppsp.tracker import (
    AbilityNat,
    AddressType,
    ErrorCode,
    PeerAddr,
    PeerNum,
    PeerState,
    Rules,
    TrackerState,
)

# -- registration and swarms ------------------------------------------------------------------------------------------


def test_the_tracker_is_in_init_until_a_peer_comes_and_again_when_the_last_is_gone():
    """RFC 7846 section 2.3, figure 4"""
    server = tracker()
    assert server.state is TrackerState.INIT
    join(server, "a")
    join(server, "b")
    ask(server, connect("a", ("s", LEAVE, LEECH)))
    assert server.state is TrackerState.STARTED
    ask(server, connect("b", ("s", LEAVE, LEECH)))
    assert server.state is TrackerState.INIT
    assert (server.peer_count, server.swarm_count) == (0, 0)


def test_a_connect_records_addresses_mode_and_the_absolute_time():
    """RFC 7846 section 2.2, CONNECT"""
    server = tracker(epoch=1_700_000_000.0)
    address = PeerAddr("2001:db8::5", 7000, connection=None, asn="64496")
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=(address,)), now=5.5)
    peer = server.peer("a")
    assert (peer.peer_addr, peer.connect_time) == ((address,), 1_700_000_005.5)
    assert peer.swarms["s"].peer_mode is SEEDER


def test_a_leech_gets_a_list_and_a_seeder_only_if_it_asks():
    """RFC 7846 section 4.1.1: LEECH, or a SEEDER that includes peer_num"""
    server = tracker()
    join(server, "a")
    assert listed(ask(server, connect("b", ("s", JOIN, LEECH)))) == ["a"]
    assert ask(server, connect("c", ("s", JOIN, SEEDER))).swarm_result[0].peer_group is None
    answer = ask(server, connect("d", ("s", JOIN, SEEDER), peer_num=PeerNum(9)))
    assert sorted(listed(answer)) == ["a", "b", "c"]


def test_the_first_peer_of_a_swarm_gets_no_group_rather_than_an_empty_one():
    """RFC 7846 section 3.2.4: peer_info<1..*>"""
    assert ask(tracker(), connect("a", ("s", JOIN, LEECH))).swarm_result[0].peer_group is None


def test_a_find_in_an_otherwise_empty_swarm_has_an_empty_group():
    """RFC 7846 section 4.1.2: the response MUST include a peer_group element"""
    server = tracker()
    join(server, "a")
    assert ask(server, find("a", "s")).swarm_result[0].peer_group == ()


def test_a_list_has_peer_ids_and_addresses_and_never_the_requester():
    """RFC 7846 sections 4.1.1, 4.1.2: MUST contain the peer IDs and the corresponding IP addresses"""
    server = tracker()
    for name in "abc":
        ask(server, connect(name, ("s", JOIN, LEECH), peer_addr=(PeerAddr("192.0.2.9", ord(name)),)))
    group = ask(server, find("b", "s")).swarm_result[0].peer_group
    assert {(peer.peer_id, peer.peer_addr.port) for peer in group} == {("a", ord("a")), ("c", ord("c"))}


def test_a_peer_with_several_addresses_has_an_entry_for_each_and_counts_once():
    """RFC 7846 section 3.2.4: peer_info holds one peer_addr"""
    server = tracker()
    addresses = (PeerAddr("192.0.2.9", 1, priority=1), PeerAddr("2001:db8::9", 2, priority=5))
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=addresses))
    join(server, "b", mode=SEEDER)
    group = ask(server, connect("c", ("s", JOIN, LEECH), peer_num=PeerNum(2))).swarm_result[0].peer_group
    assert Counter(peer.peer_id for peer in group) == {"a": 2, "b": 1}
    assert [peer.peer_addr.priority for peer in group if peer.peer_id == "a"] == [5, 1]


def test_a_leech_becomes_a_seeder_by_joining_again():
    """RFC 7846 defines no such transition; a CONNECT of a registered peer notifies about participation (section 2.2)"""
    server = tracker()
    join(server, "a")
    join(server, "a", mode=SEEDER)
    assert server.peer("a").swarms["s"].peer_mode is SEEDER
    assert [peer.peer_id for peer in server.peers("s")] == ["a"]


def test_each_action_has_its_result_in_the_order_of_the_actions():
    """RFC 7846 section 3.3.4; the RFC's own example forgets the result of the LEAVE"""
    server = tracker()
    join(server, "a", "1111")
    answer = ask(server, connect("a", ("1111", LEAVE, LEECH), ("2222", JOIN, LEECH), ("9", LEAVE, LEECH)))
    assert [(one.swarm_id, one.result) for one in answer.swarm_result] == [("1111", 0), ("2222", 0), ("9", 1)]
    assert server.peers("1111") == ()
    assert [peer.peer_id for peer in server.peers("2222")] == ["a"]


def test_one_invalid_action_among_valid_ones_is_no_error_of_the_request():
    """RFC 7846 section 2.3.2 A speaks of requests with only invalid actions"""
    server = tracker()
    join(server, "a")
    answer = ask(server, connect("a", ("other", LEAVE, LEECH), ("s", LEAVE, LEECH)))
    assert (answer.response_type, answer.error_code) == (0, 0)
    assert [(one.result, one.peer_group) for one in answer.swarm_result] == [(1, None), (0, None)]


def test_leaving_one_of_two_swarms_keeps_the_registration_and_leaving_the_last_ends_it():
    """RFC 7846 table 6, reading N as all"""
    server = tracker()
    ask(server, connect("a", ("s", JOIN, SEEDER), ("t", JOIN, SEEDER)))
    ask(server, connect("a", ("s", LEAVE, SEEDER)))
    assert server.peer("a").state is PeerState.TRACKING
    ask(server, connect("a", ("t", LEAVE, SEEDER)))
    assert server.peer("a") is None


def test_the_peer_mode_of_a_leave_does_not_matter():
    """RFC 7846 section 4.1.1: LEAVE, regardless of the peer mode"""
    server = tracker()
    join(server, "a", mode=SEEDER)
    assert ask(server, connect("a", ("s", LEAVE, LEECH))).error_code == 0


def test_a_strict_tracker_ends_the_registration_of_a_seeder_that_joins_more():
    """RFC 7846 table 6: N SEEDER JOIN from TRACKING, Invalid, TERMINATE"""
    server = tracker(rules=Rules(strict=True))
    join(server, "a", mode=SEEDER)
    assert ask(server, connect("a", ("t", JOIN, SEEDER))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert server.peer("a") is None


def test_a_strict_tracker_refuses_what_the_table_does_not_list_and_keeps_the_registration():
    """RFC 7846 section 2.3.2 C"""
    server = tracker(rules=Rules(strict=True))
    join(server, "a")
    assert ask(server, connect("a", ("t", JOIN, LEECH))).error_code == ErrorCode.FORBIDDEN_ACTION
    assert set(server.peer("a").swarms) == {"s"}


def test_new_addresses_replace_the_old_and_a_connect_without_any_keeps_them():
    server = tracker()
    first, second = PeerAddr("192.0.2.1", 1), PeerAddr("192.0.2.2", 2)
    ask(server, connect("a", ("s", JOIN, SEEDER), peer_addr=(first,)))
    ask(server, connect("a", ("t", JOIN, SEEDER), peer_addr=()))
    assert server.peer("a").peer_addr == (first,)
    ask(server, connect("a", ("u", JOIN, SEEDER), peer_addr=(second,)))
    assert server.peer("a").peer_addr == (second,)


def test_a_peer_that_announces_no_address_is_listed_where_its_requests_come_from():
    """RFC 7846 section 4.1.1: a tracker that works like STUN returns the public address as REFLEXIVE"""
    server = tracker()
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()))
    group = ask(server, connect("b", ("s", JOIN, LEECH))).swarm_result[0].peer_group
    assert group[0].peer_addr == PeerAddr("198.51.100.7", 43210, type=AddressType.REFLEXIVE)


def test_a_peer_that_moves_and_announces_nothing_is_listed_where_it_is_now():
    """RFC 7846 section 2.2: a CONNECT of a registered peer tells of its participation, and whence it comes"""
    server = tracker()
    there = ("203.0.113.5", 4000)
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()))
    ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()), peer=there)
    assert [one.address for one in server.peer("a").peer_addr] == [there[0]]
    # What it has announced is its own word, and stays.
    ask(server, connect("a", ("s", JOIN, LEECH)), peer=there)
    announced = server.peer("a").peer_addr
    ask(server, connect("a", ("t", JOIN, LEECH), peer_addr=()))
    ask(server, connect("a", ("u", JOIN, LEECH), peer_addr=()), peer=None)
    assert server.peer("a").peer_addr == announced


def test_a_peer_without_any_address_cannot_register():
    server = tracker()
    for source in (None, ("unix socket", 0)):
        answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=()), peer=source)
        assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0


@pytest.mark.parametrize("address", ["0.0.0.0", "0.8.8.8", "::", "224.0.0.5", "ff02::1", "255.255.255.255"])
def test_an_address_that_no_peer_can_have_is_a_bad_request(address):
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(PeerAddr(address, 5),)))
    assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_address_is_for_peers_of_the_same_machine(address):
    """Else a stranger could make every peer of a swarm send to ports of its own machine."""
    loopback, elsewhere = PeerAddr(address, 53), PeerAddr("192.0.2.1", 7000)
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=("198.51.100.7", 5))
    assert answer.error_code == ErrorCode.BAD_REQUEST
    assert server.peer_count == 0
    # Who is behind a proxy that says nothing of use is not here.
    assert ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=("unknown", 0)).error_code == 1
    ask(server, connect("b", ("s", JOIN, LEECH), peer_addr=(loopback, elsewhere)), peer=("198.51.100.7", 5))
    assert server.peer("b").peer_addr == (elsewhere,)
    for number, sender in enumerate((("127.0.0.1", 5), ("::1", 5), None)):
        ask(server, connect(f"c{number}", ("s", JOIN, LEECH), peer_addr=(loopback,)), peer=sender)
        assert server.peer(f"c{number}").peer_addr == (loopback,)


def test_the_requester_learns_its_public_address():
    """RFC 7846 sections 4.1.1, 4.1.2: with a REFLEXIVE type"""
    server = tracker()
    expected = PeerAddr("198.51.100.7", 43210, type=AddressType.REFLEXIVE)
    assert ask(server, connect("a", ("s", JOIN, LEECH))).peer_addr == expected
    assert ask(server, find("a", "s")).peer_addr == expected
    assert ask(server, report("a")).peer_addr is None


def test_a_peer_behind_a_dual_stack_socket_has_an_ipv4_address():
    server = tracker()
    answer = ask(server, connect("a", ("s", JOIN, LEECH)), peer=("::ffff:198.51.100.7", 5))
    assert answer.peer_addr.address == "198.51.100.7"


def test_a_peer_that_uses_stun_or_turn_is_not_told_its_address():
    """RFC 7846 section 4.1.1: in which case peer_addr SHOULD NOT present in the response"""
    server = tracker()
    gathered = (PeerAddr("10.0.0.1", 5), PeerAddr("198.51.100.7", 99, type=AddressType.REFLEXIVE))
    assert ask(server, connect("a", ("s", JOIN, LEECH), peer_addr=gathered)).peer_addr is None
    for ability in (AbilityNat.STUN, AbilityNat.TURN):
        assert ask(server, connect(ability.lower(), ("s", JOIN, LEECH), peer_num=PeerNum(1, ability))).peer_addr is None
    assert ask(server, connect("b", ("s", JOIN, LEECH), peer_num=PeerNum(1, AbilityNat.NO_NAT))).peer_addr


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_kept_with_the_peer_and_confirmed_without_a_group():
    """RFC 7846 sections 3.3.4, 4.1.3"""
    server = tracker()
    join(server, "a")
    answer = ask(server, report("a", stats()))
    assert [(one.swarm_id, one.result, one.peer_group) for one in answer.swarm_result] == [("s", 0, None)]
    assert server.peer("a").swarms["s"].stat == stats()


def test_statistics_of_a_swarm_that_the_peer_is_not_in_fail_by_themselves():
    server = tracker()
    join(server, "a")
    answer = ask(server, report("a", stats("elsewhere"), stats()))
    assert [one.result for one in answer.swarm_result] == [1, 0]
