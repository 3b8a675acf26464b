"""A stand-in for an engine, with the answers of the test."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

from served import PATIENCE_S


@contextmanager
def engine(path: Path, answers: Mapping[str, object]) -> Iterator[str]:
    """Serve answers on a socket, an error for other requests; an answer in bytes is sent unchanged."""

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(self.path)

        def do_DELETE(self) -> None:
            self.answer(f"DELETE {self.path}")

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.answer(f"POST {self.path} {sent}")

        def answer(self, asked: str) -> None:
            status = 200 if asked in answers else 500
            answer = answers.get(asked, {"message": f"{asked}: not so"})
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            head = b"HTTP/1.1 %d Any\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            self.wfile.write(head + body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with UnixStreamServer(str(path), Engine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(path)
        server.shutdown()
        thread.join(PATIENCE_S)
