"""The page at /app, in the browser."""

from shown import visit  # noqa: F401  (a fixture)
