"""What a hostile `volume.json` can do to its reader."""

import pytest

from pyvol.storage import descriptor

DEPTH = 100_000


def test_deep_descriptor_is_unreadable() -> None:
    """A descriptor nested deeper than the parser goes is unreadable like any other, and stops no start."""
    content = b'{"format":1,"x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"
    with pytest.raises(descriptor.DescriptorUnreadable, match="recursion"):
        descriptor.decode(content)
