"""Which part of a configuration a mistake is in."""

from collections.abc import Iterator
from contextlib import contextmanager

from alto.errors import ConfigurationError


@contextmanager
def part(where: str) -> Iterator[None]:
    """What goes wrong inside belongs to `where`, such as a file and a key; empty where there is no such thing."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}" if where else str(error)) from error
