"""A client of a Docker engine: for `doctor`, `prune`, `diff` and `adopt`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import requests

from pyvol.client.unix_http import SocketClient
from pyvol.core.errors import UNDECODABLE, EngineRefused, EngineUnreachable, find_cause

T = TypeVar("T")

RUNNING = frozenset({"running", "paused", "restarting"})
TIMEOUT_S = 20
"""An engine that waits for the dead socket of another plugin takes 15 s (engine fact 34)."""


class Swarm(msgspec.Struct, rename="pascal"):
    """The part of `/info` about Swarm."""

    local_node_state: str = "inactive"
    control_available: bool = False


class Drivers(msgspec.Struct, rename="pascal"):
    """The part of `/info` about plugins."""

    volume: list[str] | None = None


class Info(msgspec.Struct, rename="pascal"):
    """The reply to `/info`."""

    plugins: Drivers = msgspec.field(default_factory=Drivers)
    swarm: Swarm = msgspec.field(default_factory=Swarm)


class EngineVolume(msgspec.Struct, rename="pascal"):
    """A volume as an engine lists it, of any driver; only the engine knows its labels (engine fact 18)."""

    name: str
    driver: str
    labels: dict[str, str] | None = None
    mountpoint: str = ""
    options: dict[str, str] | None = None


class _Mount(msgspec.Struct, rename="pascal"):
    source: str = ""
    name: str = ""


class _Container(msgspec.Struct, rename="pascal"):
    names: list[str] | None = None
    state: str = ""
    mounts: list[_Mount] | None = None


class _Volumes(msgspec.Struct, rename="pascal"):
    volumes: list[EngineVolume] | None = None


class _Message(msgspec.Struct):
    message: str


class Interface(msgspec.Struct, rename="pascal"):
    """The part of a managed plugin's configuration about its socket."""

    socket: str = ""


class Config(msgspec.Struct, rename="pascal"):
    """The part of a managed plugin's configuration that pyvol reads."""

    interface: Interface = msgspec.field(default_factory=Interface)


class ManagedPlugin(msgspec.Struct, rename="pascal"):
    """A plugin that an engine runs itself."""

    name: str
    enabled: bool = False
    config: Config = msgspec.field(default_factory=Config)


class _ContainerSpec(msgspec.Struct, rename="pascal"):
    mounts: list[_Mount] | None = None


class _Task(msgspec.Struct, rename="pascal"):
    container_spec: _ContainerSpec | None = None


class _ServiceSpec(msgspec.Struct, rename="pascal"):
    task_template: _Task


class _Service(msgspec.Struct, rename="pascal"):
    spec: _ServiceSpec


class References(NamedTuple):
    """The volumes and paths that containers, running or not, and services refer to."""

    names: frozenset[str]
    paths: frozenset[str]

    def to(self, name: str, mountpoint: str) -> bool:
        """Return whether something refers to a volume, or to a path in it."""
        return name in self.names or any(path == mountpoint or path.startswith(f"{mountpoint}/") for path in self.paths)


class User(NamedTuple):
    """A container that refers to a volume or a directory."""

    name: str
    runs: bool


class Engine(SocketClient):
    """A client of an engine.

    Each method raises `EngineUnreachable` if the engine does not answer as Docker does.
    """

    def info(self) -> Info:
        """Return what the engine reports about itself."""
        return self._ask("/info", Info)

    def volumes(self) -> Sequence[EngineVolume]:
        """Return the volumes of all drivers."""
        return self._ask("/volumes", _Volumes).volumes or []

    def plugin_name(self, plugin_id: str) -> str:
        """Return the name of a managed plugin."""
        return self._ask(f"/plugins/{plugin_id}/json", ManagedPlugin).name

    def plugins(self) -> Sequence[ManagedPlugin]:
        """Return the managed plugins, enabled or not."""
        return self._ask("/plugins", list[ManagedPlugin])

    def references(self) -> References:
        """Return what the containers, in any state, and the services of the swarm refer to.

        Raises:
            EngineUnreachable: also for a worker node of a swarm, which does not know the services.
        """
        swarm = self.info().swarm
        mounts = list(self._container_mounts())
        if swarm.local_node_state != "inactive":
            if not swarm.control_available:
                raise EngineUnreachable(
                    f"the engine at {self.socket} is a worker of a swarm, and does not know which volumes services use",
                    "remove volumes here by name, with `docker volume rm`",
                )
            mounts += self._service_mounts()
        names = frozenset(name for mount in mounts for name in (mount.name, mount.source) if name)
        return References(names, frozenset(mount.source for mount in mounts if mount.source.startswith("/")))

    def users(self, volume: str, path: str, *, above: bool = False) -> Sequence[User]:
        """Return the containers, in any state, that refer to a volume, to a directory, or to a path below it.

        With `above`, also return running containers that refer to a directory above it.
        """

        def uses(mount: _Mount, *, runs: bool) -> bool:
            is_in = f"{mount.source}/".startswith(f"{path}/")
            holds = above and runs and mount.source.startswith("/") and f"{path}/".startswith(f"{mount.source}/")
            return bool((volume and mount.name == volume) or (path and (is_in or holds)))

        return [
            User((container.names or ["?"])[0].lstrip("/"), runs)
            for container in self._ask("/containers/json?all=1", list[_Container])
            for runs in [container.state in RUNNING]
            if any(uses(mount, runs=runs) for mount in container.mounts or [])
        ]

    def remove_volume(self, name: str) -> None:
        """Remove a volume, whatever driver the engine has for it."""
        self._send("DELETE", f"/volumes/{quote(name, safe='')}")

    def create_volume(self, name: str, driver: str, labels: Mapping[str, str]) -> None:
        """Create a volume; if the driver already has it, the engine only records it, with the labels."""
        content = msgspec.json.encode({"Name": name, "Driver": driver, "Labels": labels})
        self._send("POST", "/volumes/create", content)

    def _container_mounts(self) -> Iterator[_Mount]:
        for container in self._ask("/containers/json?all=1", list[_Container]):
            yield from container.mounts or []

    def _service_mounts(self) -> Iterator[_Mount]:
        for service in self._ask("/services", list[_Service]):
            spec = service.spec.task_template.container_spec
            yield from (spec.mounts or []) if spec else []

    def _ask(self, path: str, kind: type[T]) -> T:
        content = self._send("GET", path)
        try:
            return msgspec.json.decode(content, type=kind)
        except UNDECODABLE as error:
            raise self._unreachable(error) from error

    def _send(self, method: str, path: str, sent: bytes | None = None) -> bytes:
        try:
            reply = self.request(method, path, sent, (TIMEOUT_S, TIMEOUT_S if method == "GET" else None))
            reply.raise_for_status()
        except requests.HTTPError as error:
            if method != "GET":
                raise EngineRefused("the engine refused the request", _message(error.response)) from error
            raise self._unreachable(error) from error
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        content: bytes = reply.content
        return content

    def _unreachable(self, error: Exception) -> EngineUnreachable:
        cause = find_cause(error)
        summary = cause.strerror if cause else error
        if isinstance(cause, PermissionError):
            hint = "put `sudo` before the command"
        else:
            hint = "check that Docker runs, or name its socket with --engine"
        return EngineUnreachable(f"the engine at {self.socket} does not answer as Docker does ({summary})", hint)


def _message(reply: requests.Response) -> str:
    try:
        return msgspec.json.decode(reply.content, type=_Message).message
    except UNDECODABLE:
        return reply.text
