"""The page's folder, the static site, and the npm packages of both."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "page"
