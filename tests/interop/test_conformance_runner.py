"""How a case is held against the answers of an implementation (interop.conformance._runner and _compare)."""

import copy
import json
from pathlib import Path

import attrs
import pytest

from interop.conformance import ConformanceError, Status, check, load, local, run
from interop.conformance._compare import difference, prefix_fault
from interop.conformance._files import Case

SAMPLE = load(Path(__file__).with_name("data") / "sample.json")
CASES = {case.id.removeprefix("sample-"): case for case in SAMPLE.cases}


def verdict(case, implementation):
    result = check(case, implementation)
    return result.status, result.reason


def passes(case, implementation):
    return check(case, implementation).status is Status.PASSED


def fails(case, implementation):
    status, reason = verdict(case, implementation)
    assert status is Status.FAILED
    return reason


def case_of(op, result, params=None, **body):
    return Case("ppsp", "made", "made", "Made.", (), "must", (), result, op, params or {}, body)


def table(**answers):
    """An implementation that gives one answer to each operation."""
    return lambda request: answers[request["op"]]


def changed(operation, change):
    """Our implementation, but for the answers to one operation."""

    def answer(request):
        given = copy.deepcopy(local("ppsp")(request))
        return change(request, given) if request["op"] == operation else given

    return answer


def test_our_own_package_passes_the_sample():
    assert [result.status for result in run([SAMPLE])] == [Status.PASSED] * 5


def test_a_protocol_that_is_not_here_needs_an_implementation():
    with pytest.raises(ConformanceError, match="no implementation of 'gnutella'"):
        list(run([attrs.evolve(SAMPLE, protocol="gnutella")]))


def test_a_wrong_value_fails_and_the_reason_says_where():
    def change(request, given):
        given["value"]["messages"][0]["delay_us"] = 101
        return given

    assert fails(CASES["ack-have"], changed("decode", change)) == "decode: messages[0].delay_us: 101 instead of 100"


def test_a_wrong_encoding_fails():
    reason = fails(CASES["ack-have"], changed("encode", lambda request, given: {"wire": "00"}))
    assert reason.startswith("encode: 00 instead of 0000000802")


def test_a_valid_case_that_is_rejected_fails():
    assert fails(CASES["ack-have"], table(decode={"rejected": "no"})) == "decode: rejected: no"


def test_an_invalid_case_that_is_accepted_fails():
    def accept(request, given):
        return {"value": given["value"]}

    assert "accepted as" in fails(CASES["unknown-type"], changed("decode", accept))


def test_an_invalid_case_compares_what_counts_in_spite_of_the_refusal():
    reason = fails(CASES["unknown-type"], table(decode={"rejected": "no", "value": {"channel": 8, "messages": []}}))
    assert reason == "decode: messages: 0 entries instead of 1"
    assert "without what counts" in fails(CASES["unknown-type"], table(decode={"rejected": "no"}))


def test_an_acceptable_case_may_be_refused_or_give_its_value_and_nothing_else():
    assert passes(CASES["closing"], table(decode={"rejected": "no end option"}))
    assert passes(CASES["closing"], local("ppsp"))
    assert "instead of" in fails(CASES["closing"], table(decode={"value": {"channel": 9, "messages": []}}))


def test_a_case_that_is_not_canonical_is_not_encoded():
    case = case_of("codec", "valid", {"truncation": "unchecked"}, wire="00", value=1, canonical=False)
    assert passes(case, table(decode={"value": 1}))
    assert "KeyError" in fails(attrs.evolve(case, body={"wire": "00", "value": 1}), table(decode={"value": 1}))


def test_unsupported_is_a_skip():
    assert verdict(CASES["peaks"], table(call={"unsupported": True})) == (Status.SKIPPED, "call: unsupported")
    decode_only = changed("encode", lambda request, given: {"unsupported": True})
    assert verdict(CASES["ack-have"], decode_only) == (Status.SKIPPED, "encode: unsupported")


@pytest.mark.parametrize("answer", [{}, {"wire": "00"}, {"unsupported": False}, {"valeu": 1}])
def test_an_answer_without_any_known_member_fails(answer):
    assert "none of 'value'" in fails(CASES["peaks"], table(call=answer))


def test_an_implementation_that_raises_fails_the_case():
    assert fails(CASES["peaks"], table()) == "call: KeyError: 'call'"


def test_a_reason_cannot_steer_a_terminal():
    reason = fails(CASES["ack-have"], table(decode={"rejected": "\x1b[2Jgone\x00"}))
    assert reason == "decode: rejected: �[2Jgone�"


# Truncation


def echo(request):
    """A codec of octets, each of which is a value: any length is well formed."""
    return {"value": request["wire"]} if request["op"] == "decode" else {"wire": request["value"]}


def test_a_wire_cut_short_at_any_octet_must_be_refused():
    case = case_of("codec", "valid", wire="aabbcc", value="aabbcc")
    assert fails(case, echo) == "decode of the first 0 of 3 octets: accepted"

    def three_octets(request):
        return echo(request) if request.get("wire") in (None, "aabbcc") else {"rejected": "short"}

    assert passes(case, three_octets)
    asked = []
    check(case, lambda request: asked.append(request.get("wire")) or three_octets(request))
    assert asked == ["aabbcc", "", "aa", "aabb", None]


def test_truncation_can_be_left_unchecked():
    assert passes(case_of("codec", "valid", {"truncation": "unchecked"}, wire="aabbcc", value="aabbcc"), echo)


HAVE, ACK = {"type": "HAVE", "start": 0, "end": 0}, {"type": "ACK", "start": 0, "end": 0, "delay_us": 1}
DATA = {"type": "DATA", "start": 0, "end": 0, "timestamp_us": 1, "payload": "aabb"}


def datagram(*messages, channel=8):
    return {"channel": channel, "messages": list(messages)}


@pytest.mark.parametrize("refused", [True, False])
def test_a_datagram_cut_short_gives_a_proper_prefix_of_its_messages(refused):
    whole = datagram(HAVE, ACK)
    assert prefix_fault(whole, datagram(), refused=refused) is None
    assert prefix_fault(whole, datagram(HAVE), refused=refused) is None
    assert "all messages" in prefix_fault(whole, datagram(HAVE, ACK), refused=refused)
    assert "instead of" in prefix_fault(whole, datagram(ACK), refused=refused)
    assert "3 messages of 2" in prefix_fault(whole, datagram(HAVE, ACK, HAVE), refused=refused)
    assert "channel 9" in prefix_fault(whole, datagram(HAVE, channel=9), refused=refused)


def test_a_datagram_cut_short_may_be_refused_without_more_words():
    assert prefix_fault(datagram(HAVE), None, refused=True) is None
    assert "no list of messages" in prefix_fault(datagram(HAVE), None, refused=False)


def test_the_last_message_of_a_datagram_cut_short_may_be_a_shorter_data():
    whole = datagram(HAVE, DATA)
    assert prefix_fault(whole, datagram(HAVE, {**DATA, "payload": "aa"}), refused=False) is None
    assert prefix_fault(whole, datagram(HAVE, {**DATA, "payload": ""}), refused=False) is None
    assert prefix_fault(whole, datagram(HAVE, {**DATA, "payload": "bb"}), refused=False)
    assert prefix_fault(whole, datagram(HAVE, {**DATA, "payload": "aa", "end": 1}), refused=False)
    assert prefix_fault(whole, datagram(HAVE, {**DATA, "payload": "aabb"}), refused=False)
    assert prefix_fault(datagram(DATA, HAVE), datagram({**DATA, "payload": "aa"}, HAVE), refused=False)


def test_a_decoder_that_makes_messages_up_from_a_cut_datagram_fails():
    def pad(request, given):
        return local("ppsp")({**request, "wire": request["wire"].ljust(60, "0")})

    assert "of 30 octets" in fails(CASES["ack-have"], changed("decode", pad))


# Comparison


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1, True),
        (0, False),
        (True, 1),
        (None, 0),
        (None, False),
        ("1", 1),
        ([1], [1, 2]),
        ([1, 2], [1]),
        ({}, []),
        (1, 2),
    ],
)
def test_values_of_different_kinds_differ(expected, got):
    assert difference(expected, got) is not None


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "aa", [], [1, [2]], {}, {"a": {"b": [None]}}])
def test_a_value_is_itself(value):
    assert difference(value, copy.deepcopy(value)) is None
    assert difference(value, json.loads(json.dumps(value))) is None


def test_a_difference_says_where_it_is():
    assert difference({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == "a[0].b: 2 instead of 1"
    assert difference({"a": 1}, {}) == "a is missing"
    assert difference({}, {"a": 1}) == "a should not be there: 1"


def test_a_range_stands_for_a_number_only_where_ranges_are_allowed():
    assert difference({"min": 1, "max": 3}, 2, ranges=True) is None
    assert difference({"min": 1, "max": 3}, 3, ranges=True) is None
    assert difference({"min": 1, "max": 3}, 4, "cwnd", ranges=True) == "cwnd: 4 is not in 1 to 3"
    assert difference({"min": 1, "max": 3}, True, ranges=True) is not None
    assert difference({"min": 1, "max": 3}, 2) is not None


# Traces

TRACE = case_of(
    "trace",
    "valid",
    {"machine": "counter"},
    steps=[
        {"at": 0, "do": {"add": {"n": 2}}, "expect": {"sum": 2}},
        {"at": 5, "do": {"add": {"n": 3}}},
        {"at": 9, "do": {"add": {"n": -9}}, "expect": {"rejected": True}},
        {"at": 10, "do": {"add": {"n": 1}}, "expect": {"sum": {"min": 5, "max": 7}}},
    ],
)


def counter(request):
    total, outcomes = 0, []
    for step in request["steps"]:
        n = step["do"]["add"]["n"]
        total += max(n, 0)
        outcomes.append({"sum": total} if n >= 0 else {"rejected": True})
    return {"value": outcomes}


def test_a_trace_compares_what_each_step_expects():
    assert passes(TRACE, counter)


def test_a_trace_tells_what_to_observe_and_not_what_is_expected():
    asked = []
    check(TRACE, lambda request: asked.append(request) or counter(request))
    assert [step["observe"] for step in asked[0]["steps"]] == [["sum"], [], ["rejected"], ["sum"]]
    assert all(step.keys() == {"at", "do", "observe"} for step in asked[0]["steps"])


@pytest.mark.parametrize(
    ("step", "outcome", "reason"),
    [
        (0, {"sum": 3}, "step 1 at 0 us, add: sum: 3 instead of 2"),
        (0, {}, "step 1 at 0 us, add: sum is missing"),
        (1, {"rejected": "no"}, "step 2 at 5 us, add: rejected: no"),
        (2, {"sum": 5}, "step 3 at 9 us, add: rejected is missing"),
        (3, {"sum": 8}, "step 4 at 10 us, add: sum: 8 is not in 5 to 7"),
        (3, 8, "step 4 at 10 us, add: an outcome is an object, not 8"),
    ],
)
def test_a_step_that_goes_wrong_is_named(step, outcome, reason):
    def wrong(request):
        answer = counter(request)
        answer["value"][step] = outcome
        return answer

    assert fails(TRACE, wrong) == reason


def test_a_trace_has_an_outcome_for_each_step():
    assert "4 steps need a list" in fails(TRACE, table(trace={"value": [{}]}))
    assert fails(TRACE, table(trace={"rejected": "no such machine"})) == "trace: rejected: no such machine"
