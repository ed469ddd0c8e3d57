"""What is done after a crash, against sets."""

from hypothesis import given
from hypothesis import strategies as st

from decade.recovery import DropRows, RemoveFile, recover

NAMES = st.lists(st.text("ab", min_size=1, max_size=3)).map(sorted)


def test_a_row_without_a_file_goes_and_so_does_a_file_without_a_row() -> None:
    assert list(recover(["a", "c"], ["b", "c", "d"])) == [DropRows("a"), RemoveFile("b"), RemoveFile("d")]


@given(NAMES, NAMES.map(set).map(sorted))
def test_what_is_left_are_the_names_in_both_and_each_name_is_acted_on_once(rows: list[str], files: list[str]) -> None:
    actions = list(recover(rows, files))
    assert len(set(actions)) == len(actions)
    assert {action.name for action in actions if isinstance(action, DropRows)} == set(rows) - set(files)
    assert {action.name for action in actions if isinstance(action, RemoveFile)} == set(files) - set(rows)


def test_a_long_index_is_read_as_it_is_compared() -> None:
    read = 0

    def rows() -> object:
        nonlocal read
        for number in range(1000):
            read += 1
            yield f"{number:04}"

    next(recover(rows(), []))  # type: ignore[arg-type]
    assert read == 1
