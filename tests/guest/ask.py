"""Send a daemon in a guest one request at a given moment, and print its error message, or nothing.

Usage: python -m guest.ask SOCKET MOMENT VERB JSON. Uses only the standard library.
"""

import json
import sys
import time
from pathlib import Path

from .wire import Refused, Wire


def main() -> None:
    """Send the request."""
    _, socket, moment, verb, fields = sys.argv
    time.sleep(max(0.0, float(moment) - time.time()))
    try:
        Wire(Path(socket)).call(verb, **json.loads(fields))
    except Refused as refused:
        sys.stdout.write(str(refused))


if __name__ == "__main__":
    main()
