"""Run commands in a guest for the host: each line of input names a request file, and events go out.

An event is a line of JSON after the control character that marks it; events carry output and the exit status.
A command whose output goes straight to the host writes its lines between the events. Such a line is never
held back while the command continues.

Uses only the standard library and does not know pyvol: it connects `uml.Guest` and the guest over a console.
"""

import codecs
import json
import os
import selectors
import subprocess
import sys
import tty
from pathlib import Path

EVENT = b"\x1e"


def reply(event: dict[str, object]) -> None:
    """Send one event to the host."""
    line = EVENT + json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(sys.stdout.fileno(), line) :]


def run(argv: list[str], env: dict[str, str], stdin: str, *, straight: bool) -> int:
    """Run one command, forward its output without delay, and return its exit status."""
    process = subprocess.Popen(
        argv,
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=None if straight else subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(stdin.encode())
    process.stdin.close()
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("out", process.stdout), ("err", process.stderr)):
            if pipe is None:
                continue
            selector.register(pipe, selectors.EVENT_READ, (name, codecs.getincrementaldecoder("utf-8")("replace")))
        while selector.get_map():
            for key, _ in selector.select():
                name, decoder = key.data
                data = os.read(key.fd, 65536)
                if data:
                    reply({name: decoder.decode(data)})
                else:
                    selector.unregister(key.fileobj)
    return process.wait()


def serve() -> None:
    """Answer requests until the line is closed."""
    tty.setraw(sys.stdin.fileno())
    reply({"ready": os.uname().release})
    for line in sys.stdin.buffer:
        request = json.loads(Path(line.decode().rstrip()).read_bytes())
        try:
            code = run(request["argv"], request["env"], request["stdin"], straight=request["straight"])
        except OSError as error:
            reply({"err": f"{request['argv'][0]}: {error}\n"})
            code = 127
        reply({"exit": code})


if __name__ == "__main__":
    serve()
