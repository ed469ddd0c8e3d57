"""The ALTO client, sans-IO: plans that yield requests and are sent responses."""

from alto.client.client import Client
from alto.client.costs import ROUTING_COST, CostQuery, RankedPeer, Ranking
from alto.client.errors import ServerError, UnreachableError, retry_delay
from alto.client.fetch import Credentials, Plan, Session
from alto.client.reading import Result

__all__ = [
    "ROUTING_COST",
    "Client",
    "CostQuery",
    "Credentials",
    "Plan",
    "RankedPeer",
    "Ranking",
    "Result",
    "ServerError",
    "Session",
    "UnreachableError",
    "retry_delay",
]
