"""python -m jaxgen_serve.trial NAME < FILE: load a stranger's model and draw one picture, with little memory."""

from __future__ import annotations

import json
import sys

MEMORY = 4 * 2**30  # bytes of address space


def main(name: str) -> int:
    """0, or 3 with one line on stdout."""
    limit()
    import numpy as np

    from jaxgen.artifact import parse
    from jaxgen.errors import JaxgenError
    from jaxgen.sampler import Sampler
    from jaxgen_serve.description import described

    try:
        model = Sampler(parse(sys.stdin.buffer.read(), name), threads=1)
        one = np.zeros(1, np.int64)
        plan = model.plan()[-1:] if model.config.process else None
        images, _ = model.draw(one, one, plan=plan)
        if images.shape != (1, *model.shape) or images.dtype != np.uint8:
            raise JaxgenError(f"{name}: expected a picture {model.shape}, got {images.dtype} {images.shape}")
        json.dumps(described(model, name=name, size=0, encoder=False, max_steps=1), allow_nan=False)
    except JaxgenError as err:
        print(" ".join(str(err).split()))
        return 3
    except Exception as err:
        print(f"{name}: refused: {type(err).__name__} when it was tried")
        return 3
    return 0


def limit() -> None:
    """Less memory from here on, where the system can be told so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
