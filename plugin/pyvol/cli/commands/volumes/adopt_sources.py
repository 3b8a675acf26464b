"""The sources of `pyvol adopt`, and the containers that use them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pyvol.api.v1.schema.adopt import AdoptKind
from pyvol.client.docker_api import Engine, EngineVolume, User
from pyvol.core.errors import UNDECODABLE, BadRequest, NotFound
from pyvol.core.model.volume import ANONYMOUS

LOCAL = "local"
LOCAL_PERSIST = "local-persist"


class Source(NamedTuple):
    """One thing to adopt.

    Attributes:
        name: the name of the volume.
        kind: see `AdoptKind`.
        options: the options of the volume.
        path: where its files are; empty if the options have the path.
        twin: the volume with that name that the engine has of another driver; it hides the one of pyvol.
        users: the containers that refer to it.
    """

    name: str
    kind: AdoptKind
    options: Mapping[str, str]
    path: str = ""
    twin: EngineVolume | None = None
    users: Sequence[User] = ()

    @property
    def running(self) -> list[str]:
        """The names of the running containers that use it."""
        return [user.name for user in self.users if user.runs]


class LocalPersist(msgspec.Struct):
    """The state file of local-persist: a directory for each name."""

    state: dict[str, str]


def of_engine(engine: Engine, names: Sequence[str], *, every: bool) -> Iterator[Source]:
    """Yield the volumes of the engine's local driver: the named ones, or all except anonymous ones."""
    known = {volume.name: volume for volume in engine.volumes() if volume.driver == LOCAL}
    for name in names:
        if name not in known:
            raise NotFound(
                "is not a volume of Docker's local driver",
                hint="`docker volume ls -f driver=local` lists those",
                volume=name,
            )
    for name in sorted(known) if every else dict.fromkeys(names):
        if every and ANONYMOUS.fullmatch(name):
            continue
        volume = known[name]
        options = {key: text for key, text in (volume.options or {}).items() if text}
        kind = AdoptKind.OPTIONS if options else AdoptKind.ENGINE
        path = "" if options else volume.mountpoint
        yield Source(name, kind, options, path, volume, engine.users(name, volume.mountpoint))


def of_local_persist(engine: Engine | None, file: Path, names: Sequence[str], *, move: bool) -> Iterator[Source]:
    """Yield the volumes in the state file of local-persist: the named ones, or all."""
    try:
        state = msgspec.json.decode(file.read_bytes(), type=LocalPersist).state
    except OSError as error:
        raise BadRequest(f"{file} cannot be read", str(error.strerror)) from None
    except UNDECODABLE as error:
        raise BadRequest(f"{file} is not a state file of local-persist", str(error)) from None
    for name in names:
        if name not in state:
            raise NotFound(f"is not in {file}", f"it has {', '.join(sorted(state)) or 'no volumes'}", volume=name)
    listed = engine.volumes() if engine else []
    twins = {volume.name: volume for volume in listed if volume.driver == LOCAL_PERSIST}
    for name in names or sorted(state):
        yield of_directory(engine, name, state[name], move=move, twin=twins.get(name))


def of_directory(
    engine: Engine | None, name: str, path: str, *, move: bool, twin: EngineVolume | None = None
) -> Source:
    """Return a directory that is moved or stays; `twin` is the volume of the engine with that name."""
    used = (
        engine.users(twin.name if twin else "", path if move else "", above=True) if engine and (move or twin) else ()
    )
    if move:
        return Source(name, AdoptKind.DIRECTORY, {}, path, twin, used)
    return Source(name, AdoptKind.OPTIONS, {"path": path}, "", twin, used)
