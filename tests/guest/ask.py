"""Asks a daemon in a guest for one thing, at a given moment, and prints what it was refused with, or nothing.

Usage: python -m guest.ask SOCKET MOMENT VERB JSON. Standard library alone.
"""

import json
import sys
import time
from pathlib import Path

from .wire import Refused, Wire


def main() -> None:
    """Ask."""
    _, socket, moment, verb, fields = sys.argv
    time.sleep(max(0.0, float(moment) - time.time()))
    try:
        Wire(Path(socket)).call(verb, **json.loads(fields))
    except Refused as refused:
        sys.stdout.write(str(refused))


if __name__ == "__main__":
    main()
