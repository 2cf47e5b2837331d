"""Listening sockets and their addresses."""

from __future__ import annotations

import errno
import socket

from jaxgen.errors import JaxgenError


def listening(host: str, port: int) -> socket.socket:
    """A listening socket; port 0: any free one. Raises JaxgenError if the address is not available."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as err:
        why = getattr(err, "strerror", None) or err
        raise JaxgenError(f"cannot listen at {host}, port {port}: {why}; {_advice(err)}") from err


def _advice(err: Exception) -> str:
    """What to change: the host, where it is that which is not available."""
    number = getattr(err, "errno", None)
    if isinstance(err, socket.gaierror | UnicodeError) or number == errno.EADDRNOTAVAIL:
        return "--host takes an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for every network it is in"
    return "ports below 1024 are the system's: try a higher --port" if number == errno.EACCES else "try another --port"


def url(host: str, port: int) -> str:
    """The address for a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
