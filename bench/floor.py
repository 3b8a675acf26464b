"""The floor: the least work that Flask can do under pyvol's gunicorn settings.

As a program it serves one of two apps on a Unix socket: `constant` answers every verb with the same bytes,
and `plugin` keeps a set of names in memory, which is enough for Docker to use it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

VERBS = ("Capabilities", "Create", "Get", "List", "Mount", "Path", "Remove", "Unmount")
MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"


def reply(content: object, status: int = 200) -> Response:
    """Return a JSON reply that closes its connection, like pyvol's replies."""
    answer = Response(json.dumps(content).encode(), status, content_type=MEDIA_TYPE)
    answer.headers["Connection"] = "close"
    return answer


def make_constant() -> Flask:
    """Return an app that gives every verb the same answer."""
    app = Flask(__name__)
    volume = {"Name": "floor", "Mountpoint": "/srv/floor", "CreatedAt": "2026-01-31T12:00:00Z", "Status": {}}

    def constant() -> Response:
        request.get_data(cache=False)
        return reply({"Volume": volume, "Err": ""})

    for verb in VERBS:
        app.add_url_rule(f"/VolumeDriver.{verb}", verb, constant, methods=["POST"])
    return app


def make_plugin(directory: Path) -> Flask:
    """Return a plugin with names only in memory, and one directory that all volumes share."""
    app = Flask(__name__)
    names: set[str] = set()

    def name() -> str:
        content: dict[str, Any] = json.loads(request.get_data(cache=False))
        return str(content["Name"])

    def describe(known: str) -> dict[str, object]:
        return {
            "Name": known,
            "Mountpoint": str(directory),
            "CreatedAt": "2026-01-31T12:00:00Z",
            "Status": {},
        }

    def get() -> Response:
        asked = name()
        return reply({"Volume": describe(asked)}) if asked in names else reply({"Err": "no such volume"}, 500)

    def create() -> Response:
        names.add(name())
        return reply({"Err": ""})

    def remove() -> Response:
        names.discard(name())
        return reply({"Err": ""})

    def path() -> Response:
        request.get_data(cache=False)
        return reply({"Mountpoint": str(directory), "Err": ""})

    def nothing() -> Response:
        request.get_data(cache=False)
        return reply({"Err": ""})

    answers = {
        "Plugin.Activate": lambda: reply({"Implements": ["VolumeDriver"]}),
        "VolumeDriver.Capabilities": lambda: reply({"Capabilities": {"Scope": "local"}}),
        "VolumeDriver.Create": create,
        "VolumeDriver.Get": get,
        "VolumeDriver.List": lambda: reply({"Volumes": [describe(known) for known in sorted(names)]}),
        "VolumeDriver.Mount": path,
        "VolumeDriver.Path": path,
        "VolumeDriver.Remove": remove,
        "VolumeDriver.Unmount": nothing,
    }
    for route, answer in answers.items():
        app.add_url_rule(f"/{route}", route.replace(".", "_"), answer, methods=["POST"])
    return app


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn, embedded in the same way as in pyvol."""

    def __init__(self, app: Flask, options: dict[str, object]) -> None:
        """Store an app and gunicorn's settings."""
        self.app = app
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        """Apply the given settings, and read no file, argument or environment."""
        for key, value in self.options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        """Return the app."""
        return self.app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", choices=["constant", "plugin"])
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    for option in ("--threads", "--backlog", "--umask"):
        parser.add_argument(option, type=int, required=True)
    arguments = parser.parse_args()
    options: dict[str, object] = {
        "bind": f"unix:{arguments.socket}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": arguments.threads,
        "backlog": arguments.backlog,
        "umask": arguments.umask,
        "keepalive": 0,
        "timeout": 0,
        "loglevel": "warning",
        "control_socket_disable": True,
    }
    app = make_constant() if arguments.app == "constant" else make_plugin(arguments.directory)
    Server(app, options).run()


if __name__ == "__main__":
    main()
