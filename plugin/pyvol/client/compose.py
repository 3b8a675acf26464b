"""What a Compose file asks for, as Compose itself reads it: with variables, .env, overrides and the project's name."""

from collections.abc import Mapping, Sequence

import msgspec

from pyvol.core.errors import UNDECODABLE, BadRequest, EngineUnreachable
from pyvol.host.processes import run

WAYS = (("docker", "compose"), ("docker-compose",))
CONFIG = "docker compose config --format json"
PATIENCE_S = 60.0
"""It may fetch parts of a file from elsewhere."""


class FileVolume(msgspec.Struct):
    """A volume of a Compose file; `name` is what the engine calls it."""

    name: str
    driver: str = ""
    driver_opts: dict[str, str] = {}
    external: bool = False


class _Project(msgspec.Struct):
    volumes: dict[str, FileVolume] = {}


def read_config(content: bytes) -> Mapping[str, FileVolume]:
    """Return the volumes of what `docker compose config` printed, by what the file calls them; raises `BadRequest`."""
    try:
        return msgspec.json.decode(content, type=_Project).volumes
    except UNDECODABLE as error:
        raise BadRequest(f"this is not what `{CONFIG}` prints: {error}") from None


def resolve(files: Sequence[str], project: str | None, patience_s: float = PATIENCE_S) -> tuple[bytes, str]:
    """Have Compose resolve files, or those of this directory; return what it printed, and its warnings.

    Raises:
        EngineUnreachable: there is no Compose here, or it does not come to an end.
        BadRequest: it does not take them.
    """
    chosen = [word for file in files for word in ("--file", file)] + (["--project-name", project] if project else [])
    # The volumes of a service that is off without its profile are there all the same.
    words = [*_find_compose(patience_s), *chosen, "--profile", "*", "config", "--format", "json"]
    done = _ask(words, patience_s)
    if done.status:
        raise BadRequest(f"Compose does not take {' '.join(files) or 'this directory'}: {done.errors.strip()}")
    return done.output, done.errors


def _find_compose(patience_s: float) -> Sequence[str]:
    for words in WAYS:
        if run.has(words[0]) and _ask([*words, "version"], patience_s).status == 0:
            return words
    raise EngineUnreachable(
        "there is no Docker Compose here to read the file",
        f"where there is one, run `{CONFIG} > resolved.json`, and here `pyvol diff - < resolved.json`",
    )


def _ask(words: Sequence[str], patience_s: float) -> run.Ended:
    try:
        return run.run(words, patience_s)
    except TimeoutError:
        raise EngineUnreachable(
            f"`{' '.join(words)}` has not ended after {patience_s:g} s, and was killed",
            "run it by hand to see what it waits for",
        ) from None
