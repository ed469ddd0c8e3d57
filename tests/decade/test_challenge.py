"""Seeds by which clients show that they have an object."""

from hashlib import sha256

import pytest
from decade_server import HELLO, OCTETS

from decade.challenge import LIFE, MAX_ALL_SEEDS, MAX_SEEDS, STRIDE, Challenges, is_proven, prove
from decade.errors import ErrorCode, RefusedError
from decade.names import name_of

OTHER = name_of(b"other")


def counting():
    """Seeds are 1, 2, 3, ..."""
    numbers = iter(range(1, 1 << 20))
    return Challenges(lambda size: next(numbers).to_bytes(size))


class Octets:
    def __init__(self, octets):
        self.octets = octets
        self.sizes = []

    def read(self, offset, size):
        self.sizes.append(size)
        return self.octets[offset : offset + size]

    def close(self):
        pass


def test_a_seed_is_for_one_account_one_object_and_one_claim():
    made = counting()
    given = made.issue("alice", HELLO, 100)
    assert (given.name, given.seed, given.algorithm, given.expires) == (HELLO, (1).to_bytes(32), "sha-256", 100 + LIFE)
    for account, name, seed, wall in [
        ("bob", HELLO, given.seed, 100),
        ("alice", OTHER, given.seed, 100),
        ("alice", HELLO, bytes(32), 100),
        ("alice", HELLO, b"", 100),
        ("alice", HELLO, given.seed, given.expires),
    ]:
        with pytest.raises(RefusedError) as refused:
            made.take(account, name, seed, wall)
        assert refused.value.code == ErrorCode.CONFLICT
    made.check("alice", HELLO, given.seed, given.expires - 1)
    made.take("alice", HELLO, given.seed, given.expires - 1)
    with pytest.raises(RefusedError):
        made.take("alice", HELLO, given.seed, 100)


def test_an_account_has_so_many_seeds_in_the_time_that_one_lives_used_or_not():
    made = counting()
    for at in range(MAX_SEEDS):
        seed = made.issue("alice", HELLO, 100 + at).seed
        made.take("alice", HELLO, seed, 100 + at)
    with pytest.raises(RefusedError) as refused:
        made.issue("alice", HELLO, 120)
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.RATE_LIMITED, 100 + LIFE - 120)
    made.issue("bob", HELLO, 120)
    made.issue("alice", HELLO, 100 + LIFE)
    with pytest.raises(RefusedError):
        made.issue("alice", HELLO, 100 + LIFE)
    assert len(made) == MAX_SEEDS + 1


def test_all_accounts_together_have_so_many_seeds():
    made = counting()
    for at in range(MAX_ALL_SEEDS):
        made.issue(str(at), HELLO, 100)
    with pytest.raises(RefusedError) as refused:
        made.issue("alice", HELLO, 101)
    assert refused.value.retry_after == LIFE - 1
    made.issue("alice", HELLO, 100 + LIFE)
    assert len(made) == 1


def test_the_proof_is_the_hash_of_the_seed_and_the_object_behind_it():
    seed = bytes(range(32))
    assert prove(seed, OCTETS) == sha256(seed + OCTETS).digest()
    reader = Octets(OCTETS)
    assert is_proven(reader, len(OCTETS), seed, prove(seed, OCTETS))
    assert not is_proven(reader, len(OCTETS), seed, prove(bytes(32), OCTETS))
    assert not is_proven(reader, len(OCTETS), seed, b"")
    assert is_proven(Octets(b""), 0, seed, sha256(seed).digest())


def test_a_long_object_is_read_in_strides():
    octets = bytes(range(256)) * 4096 * 2 + b"end"
    reader = Octets(octets)
    assert is_proven(reader, len(octets), bytes(32), prove(bytes(32), octets))
    assert reader.sizes == [STRIDE, STRIDE, 3]
