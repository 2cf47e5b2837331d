"""Listening sockets and their addresses."""

from __future__ import annotations

import socket

from jaxgen.errors import JaxgenError


def listening(host: str, port: int) -> socket.socket:
    """A listening socket; port 0: any free one. Raises JaxgenError if the address is not available."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as err:
        why = getattr(err, "strerror", None) or err
        raise JaxgenError(f"cannot listen at {host}, port {port}: {why}; try another --port") from err


def url(host: str, port: int) -> str:
    """The address for a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
