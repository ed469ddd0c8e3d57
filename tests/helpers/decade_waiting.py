"""Ports in memory that are said to wait, so that a test decides when each call is made and when its server goes on."""

from decade.ledger import MemoryLedger, MemoryQuotas
from decade.store import MemoryStore


class SlowStore(MemoryStore):
    """A store that is waited for."""

    waits = True

    def opens_at_once(self, row):
        """Never."""
        return False

    def at_hand(self, account, name):
        """Never."""


class SlowLedger(MemoryLedger):
    """A ledger that is waited for."""

    waits = True


class SlowQuotas(MemoryQuotas):
    """Quotas that are waited for."""

    waits = True
