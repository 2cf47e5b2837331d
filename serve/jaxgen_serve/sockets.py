"""Addresses that servers listen at."""

from __future__ import annotations

import socket

from jaxgen.errors import JaxgenError


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: one that is free. Raises JaxgenError if the address cannot be had."""
    try:
        family, *_, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as err:
        why = getattr(err, "strerror", None) or err
        raise JaxgenError(f"cannot listen at {host}, port {port}: {why}; try another --port") from err


def url(host: str, port: int) -> str:
    """Where a browser finds what listens there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
