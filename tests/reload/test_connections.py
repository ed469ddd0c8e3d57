"""The Connection Table."""

from reload_identities import node_id

from reload.connections import LOCAL, ConnectionTable
from reload.ports import Identity


def _identity(*numbers: int) -> Identity:
    return Identity(node_id(numbers[0]), tuple(map(node_id, numbers)), None, b"")


def test_links_have_numbers_of_their_own_that_are_not_used_again() -> None:
    table = ConnectionTable()
    links = [table.open(_identity(1), 0.0, node_id=node_id(1)).link for _ in range(2)]
    table.close(links[1])
    links.append(table.open(_identity(1), 0.0, node_id=node_id(1)).link)
    assert len(set(links)) == 3
    assert LOCAL not in links


def test_the_newest_link_to_a_node_is_used_while_it_is_there() -> None:
    table = ConnectionTable()
    first = table.open(_identity(1), 0.0, node_id=node_id(1))
    second = table.open(_identity(1), 1.0, node_id=node_id(1))
    assert table.to(node_id(1)) is second
    assert table.links_to(node_id(1)) == (first, second)
    table.close(second.link)
    assert table.to(node_id(1)) is first
    table.close(first.link)
    assert table.to(node_id(1)) is None
    assert node_id(1) not in table
    assert table.close(first.link) is None
    assert len(table) == 0


def test_a_node_is_connected_from_when_its_node_id_is_known() -> None:
    table = ConnectionTable()
    connection = table.open(_identity(1, 2), 0.0, node_id=None)
    view = table.node_ids()
    assert list(view) == []
    assert table.get(connection.link) is connection
    table.name(connection, node_id(2))
    assert list(view) == [node_id(2)]
    assert connection.node_id == node_id(2)
    table.close(connection.link)
    assert list(view) == []


def test_a_link_without_a_node_id_is_closed_like_any_other() -> None:
    table = ConnectionTable()
    connection = table.open(_identity(1, 2), 0.0, node_id=None)
    assert table.close(connection.link) is connection
    assert list(table) == []


def test_a_node_is_attached_if_one_of_its_links_is() -> None:
    table = ConnectionTable()
    table.open(_identity(1), 0.0, node_id=node_id(1))
    assert not table.is_attached(node_id(1))
    attached = table.open(_identity(1), 0.0, node_id=node_id(1), is_attached=True)
    assert table.is_attached(node_id(1))
    table.close(attached.link)
    assert not table.is_attached(node_id(1))


def test_a_node_was_heard_of_when_the_last_message_came_on_any_link() -> None:
    table = ConnectionTable()
    assert table.last_heard(node_id(1)) is None
    first = table.open(_identity(1), 1.0, node_id=node_id(1))
    table.open(_identity(1), 2.0, node_id=node_id(1))
    assert table.last_heard(node_id(1)) == 2.0
    first.last_heard = 5.0
    assert table.last_heard(node_id(1)) == 5.0
