"""The cost of pyvol compared with floors and another plugin, in one run: `python -m bench`.

It prints numbers only: nothing here passes or fails, and no test depends on it.
"""

import sys
from pathlib import Path

# The guest with its NFS server comes from the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
