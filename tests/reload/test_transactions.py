"""Timers of requests, and answers that are kept."""

import pytest
from reload_identities import node_id

import reload.transactions
from reload.contents import ErrorResponse, MessageCode, MessageContents
from reload.destinations import NodeDestination
from reload.header import ForwardingHeader
from reload.transactions import Answers, Pending, Transactions


def _pending(transaction: int) -> Pending:
    header = ForwardingHeader(7, transaction, (NodeDestination(node_id(1)), NodeDestination(node_id(2))))
    contents = MessageContents(MessageCode.PING_REQ, b"")
    return Pending(header, contents, b"", lambda outcome, now: None, None)


def test_a_request_is_known_by_its_transaction_until_it_is_taken() -> None:
    transactions, pending = Transactions(), _pending(1)
    transactions.add(pending, 3.0)
    assert transactions.get(1) is pending
    assert pending.destination == NodeDestination(node_id(2))
    assert pending.message_code == MessageCode.PING_REQ
    assert transactions.take(1) is pending
    assert transactions.take(1) is None
    assert 1 not in transactions
    assert len(transactions) == 0


def test_a_request_that_is_answered_leaves_no_timer() -> None:
    transactions = Transactions()
    transactions.add(_pending(1), 3.0)
    transactions.add(_pending(2), 4.0)
    transactions.take(1)
    assert transactions.get_timer() == 4.0
    transactions.take(2)
    assert transactions.get_timer() is None
    assert transactions.due(100.0) is None


def test_a_request_is_sent_five_times_and_fails_when_the_fifth_timer_fires() -> None:
    transactions, pending = Transactions(), _pending(1)
    transactions.add(pending, 3.0)
    for number in range(1, 5):
        assert transactions.due(3.0 * number - 0.1) is None
        assert transactions.due(3.0 * number) is pending
        assert 1 in transactions
        transactions.sent(pending, 3.0 * (number + 1))
    assert pending.sent == 5
    assert transactions.due(15.0) is pending
    assert 1 not in transactions
    assert transactions.get_timer() is None


def test_requests_that_were_refused_and_wait_can_be_listed() -> None:
    transactions, pending = Transactions(), _pending(1)
    transactions.add(pending, 3.0)
    transactions.add(_pending(2), 3.0)
    assert transactions.refused() == []
    pending.error = ErrorResponse(15)
    assert transactions.refused() == [pending]


def test_an_answer_is_kept_for_15_seconds() -> None:
    answers = Answers()
    assert not answers.is_known(b"n", 1, 0.0)
    assert answers.get(b"n", 1) is None
    answers.put(b"n", 1, b"answer")
    assert answers.is_known(b"n", 1, 14.9)
    assert answers.get(b"n", 1) == b"answer"
    assert answers.octets == 6
    assert not answers.is_known(b"n", 1, 15.0)
    assert answers.get(b"n", 1) is None
    assert answers.octets == 0


def test_transactions_of_several_signers_are_several() -> None:
    answers = Answers()
    assert not answers.is_known(b"n", 1, 0.0)
    assert not answers.is_known(b"m", 1, 0.0)
    assert not answers.is_known(b"n", 2, 0.0)
    assert len(answers) == 3


def test_an_answer_is_given_once_and_for_requests_alone() -> None:
    answers = Answers()
    answers.put(b"n", 1, b"nobody asked")
    assert len(answers) == 0
    answers.is_known(b"n", 1, 0.0)
    answers.put(b"n", 1, b"first")
    answers.put(b"n", 1, b"second")
    assert answers.get(b"n", 1) == b"first"
    assert answers.octets == 5


def test_a_request_that_is_forgotten_is_a_new_one() -> None:
    answers = Answers()
    answers.is_known(b"n", 1, 0.0)
    answers.put(b"n", 1, b"answer")
    answers.forget(b"n", 1)
    answers.forget(b"n", 1)
    assert answers.octets == 0
    assert not answers.is_known(b"n", 1, 0.0)


def test_answers_take_no_more_room_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload.transactions, "MAX_ANSWERS", 10)
    monkeypatch.setattr(reload.transactions, "MAX_ANSWER_OCTETS", 100)
    answers = Answers()
    for number in range(20):
        answers.is_known(b"n", number, 0.0)
    assert len(answers) == 10
    for number in range(10, 20):
        answers.put(b"n", number, bytes(30))
    assert answers.octets <= 100
    assert answers.get(b"n", 19) == bytes(30)
    assert answers.get(b"n", 10) is None


def test_old_answers_go_by_time_alone() -> None:
    answers = Answers()
    answers.is_known(b"n", 1, 0.0)
    answers.is_known(b"n", 2, 5.0)
    answers.expire(15.0)
    assert len(answers) == 1
    answers.expire(20.0)
    assert len(answers) == 0
