"""The conformance vectors, run against this package."""

import pytest

from interop.conformance import Case, Status, check, local, select

CASES = [case for file in select("ledbat") for case in file.cases]


@pytest.mark.parametrize("case", CASES, ids=[case.address for case in CASES])
def test_a_vector_holds(case: Case) -> None:
    """Where the values come from stands in the file."""
    result = check(case, local("ledbat"))
    assert result.status is Status.PASSED, result.reason
