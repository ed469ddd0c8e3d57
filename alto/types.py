"""The basic types: names with their syntax, version tags, cost types (RFC 7285 section 10, RFC 9274)."""

import re

from attrs import field, frozen

from alto._json import Json
from alto.errors import ConfigurationError

_PID_NAME = re.compile(r"[A-Za-z0-9\-:@_]{1,64}")
_COST_METRIC = re.compile(r"[A-Za-z0-9\-:_.]{1,32}")
_COST_MODE = re.compile(r"[A-Za-z0-9\-:_]{1,32}")
_PROPERTY_NAME = re.compile(r"[A-Za-z0-9\-:_]{1,32}")
_TAG = re.compile(r"[\x21-\x7e]{1,64}")


def is_pid_name(text: str) -> bool:
    """Section 10.1. The "." is reserved there and refused here; so is the empty name, which nothing excludes."""
    return _PID_NAME.fullmatch(text) is not None


def is_resource_id(text: str) -> bool:
    """Section 10.2: the syntax of a PID name."""
    return _PID_NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Section 10.3: 1 to 64 of U+0021 to U+007E."""
    return _TAG.fullmatch(text) is not None


def is_cost_metric(text: str) -> bool:
    """Section 10.6, with the "." that RFC 9439 section 3.2 makes use of; `priv:` needs something behind it."""
    return _COST_METRIC.fullmatch(text) is not None and text != "priv:"


def is_cost_mode(text: str) -> bool:
    """RFC 9274 section 3.1: at most 32 characters; `priv:` needs something behind it."""
    return _COST_MODE.fullmatch(text) is not None and text != "priv:"


def is_property_name(text: str) -> bool:
    """Section 10.8.2, without a resource ID in front."""
    return _PROPERTY_NAME.fullmatch(text) is not None and text != "priv:"


@frozen
class VTag:
    """A version tag (section 10.3): two are equal when both members are, octet by octet."""

    resource_id: str
    tag: str

    def to_json(self) -> dict[str, Json]:
        """`{"resource-id": ..., "tag": ...}`."""
        return {"resource-id": self.resource_id, "tag": self.tag}


@frozen
class CostType:
    """What a cost means: its metric, its mode, and perhaps words for a person (section 10.7, RFC 9439 section 3.1).

    Two cost types are the same cost when `key` is: description and context do not count. Raises ConfigurationError for
    names that break the syntax.
    """

    cost_mode: str
    cost_metric: str
    description: str | None = field(default=None, eq=False)
    cost_context: Json | None = field(default=None, eq=False)
    """`{"cost-source": "nominal" | "sla" | "estimation", "parameters"?: ...}`; absent means estimation."""

    def __attrs_post_init__(self) -> None:
        if not is_cost_mode(self.cost_mode):
            raise ConfigurationError(f"{self.cost_mode!r} is no cost mode")
        if not is_cost_metric(self.cost_metric):
            raise ConfigurationError(f"{self.cost_metric!r} is no cost metric")

    @property
    def key(self) -> tuple[str, str]:
        """Mode and metric."""
        return self.cost_mode, self.cost_metric

    def to_json(self) -> dict[str, Json]:
        """The object of section 10.7, without what is absent."""
        tree: dict[str, Json] = {"cost-mode": self.cost_mode, "cost-metric": self.cost_metric}
        if self.description is not None:
            tree["description"] = self.description
        if self.cost_context is not None:
            tree["cost-context"] = self.cost_context
        return tree
