"""What pyvol costs, side by side with floors and a peer, in one run: `python -m bench`.

Numbers only: nothing here passes or fails, and no test depends on it.
"""

import sys
from pathlib import Path

# The guest with its NFS server is the tests' own.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
