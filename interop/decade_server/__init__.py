"""A DECADE server on the network: an ASGI application, its configuration, and processes that share a directory."""

from interop.decade_server.app import DecadeApp

__all__ = ["DecadeApp"]
