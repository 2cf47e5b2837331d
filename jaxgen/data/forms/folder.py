"""folder:PATH, image files on the disk, with their folders as classes or splits."""

from __future__ import annotations

from pathlib import Path

from jaxgen.data.forms.encoded import of_tree
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tree import arrange
from jaxgen.data.image_files import below, endings, others
from jaxgen.errors import JaxgenError, UsageError


def opened(root: Path, options: Options) -> Opened:
    if not root.is_dir():
        raise UsageError(f"folder:{root}: there is no such folder")
    paths = below(root, "**/*")
    if not paths:
        raise JaxgenError(f"{root}: no images here (looked for {', '.join(sorted(endings()))})")
    tree = arrange(paths, str(root), options.loose)

    return of_tree(tree, str(root), lambda path: root / path, options, others(root))


FORM = Form(words="image files; folders are classes or splits", open=opened, options=frozenset({"loose", "white"}))
