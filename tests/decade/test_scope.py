"""Scopes and policies of tokens."""

from importlib.resources import files

import pytest
from cddl_verifier import Validator
from decade_messages import SCOPE as SCOPES
from decade_messages import TOKEN_POLICY
from hypothesis import given

from decade import cbor
from decade._maps import write_map
from decade.errors import DecodeError
from decade.scope import ALL_OPERATIONS, SCOPE, Confirmation, Everything, Operation

CDDL = Validator(files("decade").joinpath("decade.cddl").read_text())


@given(SCOPES, TOKEN_POLICY)
def test_scopes_and_policies_conform_to_the_cddl(scope, policy):
    for rule, item in (("aif-decade", SCOPE.write(scope)), ("token-policy", write_map(policy))):
        result = CDDL.validate(cbor.encode(item), rule, require_deterministic=True)
        assert result.valid, result.diagnostics
    assert SCOPE.read(cbor.decode(cbor.encode(SCOPE.write(scope)))) == scope


def test_operations_have_the_bits_of_aif_rest_where_it_has_the_same():
    assert (Operation.GET, Operation.PUT, Operation.DELETE) == (1, 4, 8)
    assert ALL_OPERATIONS == 0b1111111111100001101


@pytest.mark.parametrize("bit", [1, 4, 5, 6, 7, 19, 63])
def test_a_bit_that_is_no_operation_refuses_the_scope(bit):
    with pytest.raises(DecodeError, match="no operations"):
        SCOPE.read(((None, 1 << bit),))
    with pytest.raises(DecodeError, match="no operations"):
        SCOPE.write(((Everything(), 1 << bit),))


@pytest.mark.parametrize("item", [(), ((None,),), ((None, 1, 1),), (None,), 1, (((3, b"c"), 1),), (((True, b"c"), 1),)])
def test_what_is_no_scope_is_refused(item):
    with pytest.raises(DecodeError):
        SCOPE.read(item)


def test_a_confirmation_is_of_one_kind():
    for members in ({}, {"kid": b"k", "thumbprint": bytes(32)}):
        with pytest.raises(DecodeError, match="exactly one"):
            Confirmation(**members)
