"""Sockets, HTTP, the command line and the simulated network for the protocol packages."""
