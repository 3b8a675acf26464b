"""The volumes of a Compose file, as Compose resolves it: with variables, .env, overrides and project name."""

from collections.abc import Mapping, Sequence

import msgspec

from pyvol.core.errors import UNDECODABLE, BadRequest, EngineUnreachable
from pyvol.host.processes import run

WAYS = (("docker", "compose"), ("docker-compose",))
CONFIG = "docker compose config --format json"
PATIENCE_S = 60.0
"""Compose may download parts of a file."""


class FileVolume(msgspec.Struct):
    """A volume of a Compose file; `name` is its name in the engine."""

    name: str
    driver: str = ""
    driver_opts: dict[str, str] = {}
    external: bool = False


class _Project(msgspec.Struct):
    volumes: dict[str, FileVolume] = {}


def read_config(content: bytes) -> Mapping[str, FileVolume]:
    """Return the volumes in the output of `docker compose config`, by their keys in the file.

    Raises `BadRequest` for any other input.
    """
    try:
        return msgspec.json.decode(content, type=_Project).volumes
    except UNDECODABLE as error:
        raise BadRequest(f"the input is not what `{CONFIG}` prints", str(error)) from None


def resolve(files: Sequence[str], project: str | None, patience_s: float = PATIENCE_S) -> tuple[bytes, str]:
    """Return the output of Compose for files, or for the ones of this directory, and its warnings.

    Raises:
        EngineUnreachable: there is no Compose here, or it does not end in time.
        BadRequest: Compose refuses the files.
    """
    chosen = [word for file in files for word in ("--file", file)] + (["--project-name", project] if project else [])
    # Volumes exist even if the profile of their service is not active.
    words = [*_find_compose(patience_s), *chosen, "--profile", "*", "config", "--format", "json"]
    done = _ask(words, patience_s)
    if done.status:
        raise BadRequest(f"Compose does not accept {' '.join(files) or 'this directory'}", done.errors.strip())
    return done.output, done.errors


def _find_compose(patience_s: float) -> Sequence[str]:
    for words in WAYS:
        if run.has(words[0]) and _ask([*words, "version"], patience_s).status == 0:
            return words
    raise EngineUnreachable(
        "there is no Docker Compose on this host to read the file",
        f"run `{CONFIG} > resolved.json` on a host with Compose, and here `pyvol diff - < resolved.json`",
    )


def _ask(words: Sequence[str], patience_s: float) -> run.Ended:
    try:
        return run.run(words, patience_s)
    except TimeoutError:
        raise EngineUnreachable(
            f"`{' '.join(words)}` has not ended after {patience_s:g} s, and was killed",
            "run it by hand to find out what it waits for",
        ) from None
