"""Clients of pyvol's control API, of a Docker engine and of Compose. Public: the names in `__all__`."""

from pyvol.client.pyvol_api import Client, RequestRefused

__all__ = ["Client", "RequestRefused"]
