"""ASGI middleware: security, limits and request metrics."""
