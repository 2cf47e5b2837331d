"""What lies in a folder."""

from pathlib import Path


def listing(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())
