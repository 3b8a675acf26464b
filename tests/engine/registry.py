"""A registry on the loopback address, to which engines connect without TLS."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING, Any

import requests

from deadline import await_true

from .namespace import Namespace
from .releases import SYSTEM_PATH

if TYPE_CHECKING:
    from .namespace import Resident

LOOPBACK = "127.0.0.1"
PLUGIN = "pyvol"
PUSHED = "1"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT_S = 60
CONFIGURATION = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: "{directory}"}}}}
http: {{addr: "{address}"}}
"""


class Registry:
    """One registry; its contents are deleted with it."""

    def __init__(self) -> None:
        """Choose the registry's port."""
        self._namespace = Namespace()
        self._process: Resident | None = None
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self._port = probe.getsockname()[1]
        self.address = f"{LOOPBACK}:{self._port}"
        self.plugin = f"{self.address}/{PLUGIN}:{PUSHED}"
        """The target of `make plugin-push`."""

    def start(self) -> None:
        """Start the registry, and wait until it listens."""
        self._namespace.open()
        directory = self._namespace.directory
        settings = directory / "registry.yaml"
        settings.write_text(CONFIGURATION.format(directory=directory / "data" / "registry", address=self.address))
        log = directory / "registry.log"
        process = self._process = self._namespace.spawn(
            ["docker-registry", "serve", str(settings)], log=log, env={"PATH": SYSTEM_PATH}
        )
        await_true(lambda: self._listens() or not process.alive, "the registry to listen")
        if not process.alive:
            raise RuntimeError(f"docker-registry did not start: {log.read_text()}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self._port)) == 0

    def publish_variant(self, tag: str, **changes: object) -> str:
        """Publish the plugin again with changes in its configuration (Docker's keys); return its name."""
        place = f"http://{self.address}/v2/{PLUGIN}"
        manifest = self._ask("GET", f"{place}/manifests/{PUSHED}", headers={"Accept": MANIFEST}).json()
        config = self._ask("GET", f"{place}/blobs/{manifest['config']['digest']}").json()
        text = json.dumps(config | changes).encode()
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        upload = self._ask("POST", f"{place}/blobs/uploads/").headers["Location"]
        self._ask("PUT", upload, params={"digest": digest}, data=text)
        manifest["config"] |= {"digest": digest, "size": len(text)}
        described = {"headers": {"Content-Type": MANIFEST}, "data": json.dumps(manifest)}
        self._ask("PUT", f"{place}/manifests/{tag}", **described)
        return f"{self.address}/{PLUGIN}:{tag}"

    def _ask(self, method: str, address: str, **words: Any) -> requests.Response:
        answer = requests.request(method, address, timeout=TIMEOUT_S, **words)
        answer.raise_for_status()
        return answer

    def close(self) -> None:
        """End the registry."""
        self._namespace.close()
        if self._process is not None:
            self._process.kill()
