"""Files that `jaxgen adopt --resign` must refuse, and how it does."""

import pytest

from jaxgen.errors import JaxgenError
from jaxgen_export.adopt import resign


def refusal(path):
    before = path.read_bytes()
    with pytest.raises(JaxgenError) as caught:
        resign(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 400
    assert path.read_bytes() == before
    return message
