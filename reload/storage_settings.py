"""What a user may set about the storage of a node, beyond its configuration."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from reload.configuration import Configuration
from reload.policies import Policy, ValueCheck, standard_checks, standard_policies
from reload.quotas import Quotas


@attrs.frozen
class StorageSettings:
    """How much a node holds, what a Find does not find, policies and checks of one's own, and what it begins with.

    `policies` by name and `checks` by Kind-ID take the place of, and are added to, those that this package has; they
    hold for what the node stores as well as for what it believes when it fetches. A Find finds nothing of
    `hidden_kinds`. `snapshot` is what `Storage.snapshot` has made when the node was there before: its values have not
    been verified anew, but those of revoked or expired certificates are not taken.
    """

    quotas: Quotas = attrs.field(factory=Quotas)
    hidden_kinds: frozenset[int] = frozenset()
    policies: Mapping[str, Policy] = attrs.field(factory=dict)
    checks: Mapping[int, ValueCheck] = attrs.field(factory=dict)
    snapshot: bytes | None = None

    def policies_with(self, configuration: Configuration) -> Mapping[str, Policy]:
        """All policies, by name."""
        return {**standard_policies(configuration), **self.policies}

    def checks_with(self, configuration: Configuration) -> Mapping[int, ValueCheck]:
        """The checks of all usages, by Kind-ID."""
        return {**standard_checks(configuration), **self.checks}
