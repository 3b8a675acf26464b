"""Everything that can go wrong, as one tree.

Each message is one sentence that names the volume, the cause and the next step; it goes to the user as it is.
What an error becomes on the wire and as an exit code stands in one table, `pyvol.api.codec.STATUS`.

    PyvolError
      BadRequest            the request cannot be understood
        EmptyBody             no body where a name is needed (engine facts 5 and 36)
        BadName               not a volume name (engine fact 6)
        BadOption             an unknown option or value
        OptionHelp            `-o help`: no error, but an error is the one text an engine shows
      NotFound
        NoSuchVolume
        NoSuchTrash           nothing of that name in the trash
      Conflict              the request is clear, and refused
        VolumeExists          the name is taken, with other options
        VolumeInUse           another mount namespace has it mounted (engine fact 32)
        VolumeProtected       protect=true
      Busy                  the volume's lock could not be had in time
      StorageFailed         a pool, a path or a file system did not do what was asked
        NameTaken             a pool has a directory of that name which the catalog does not know
      CatalogFailed         the catalog could not be written
      BadSetting            pyvol cannot start like this
      Unreachable           whoever has to be asked does not answer
        DaemonUnreachable     no daemon answers on the socket
        EngineUnreachable     no engine tells what has to be known
      EngineRefused         an engine did not do what it was asked
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for what is no message: not of the shape; no text; nested too deep."""


class PyvolError(Exception):
    """The root of the tree."""

    @property
    def errno(self) -> int:
        """The kernel's number, where an OSError is what this was raised from; else 0."""
        return self.__cause__.errno or 0 if isinstance(self.__cause__, OSError) else 0


def find_cause(error: BaseException | None) -> OSError | None:
    """Return what the system said, at the bottom of what libraries have made of it."""
    cause = None
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            cause = error
        error = error.__context__
    return cause


class BadRequest(PyvolError):
    """The request cannot be understood."""


class EmptyBody(BadRequest):
    """The body is empty where a name is needed: an engine's retry lost it (engine fact 5)."""


class BadName(BadRequest):
    """The name is no volume name (engine fact 6)."""


class BadOption(BadRequest):
    """An option or its value is not known."""


@contextmanager
def asked_for(name: str) -> Iterator[None]:
    """Say of a `BadOption` which volume it was asked for: what reads options does not know."""
    try:
        yield
    except BadOption as error:
        raise BadOption(f"volume {name!r}: {error}") from None


class OptionHelp(BadRequest):
    """The text that ``-o help`` asks for."""


class NotFound(PyvolError):
    """What was named is not there."""


class NoSuchVolume(NotFound):
    """No volume of that name.

    Attributes:
        is_now: what it was renamed to.
    """

    def __init__(self, name: str, is_now: str | None = None) -> None:
        self.is_now = is_now
        what = f"was renamed, and is {is_now!r} now" if is_now else "does not exist: `pyvol ls` lists those that do"
        super().__init__(f"volume {name!r} {what}")


class NoSuchTrash(NotFound):
    """Nothing of that name in the trash."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no removed volume {name!r} in the trash: `pyvol trash ls` lists what can be undeleted")


class Conflict(PyvolError):
    """The request is clear, and refused."""


class VolumeExists(Conflict):
    """The name is taken by a volume with other options (engine fact 12)."""


class VolumeInUse(Conflict):
    """Another mount namespace has the volume mounted (engine fact 32)."""


class VolumeProtected(Conflict):
    """The volume has protect=true."""


class Busy(PyvolError):
    """The volume's lock could not be had before the engine's own deadline."""


class StorageFailed(PyvolError):
    """A pool, a path or a file system did not do what was asked."""


class NameTaken(StorageFailed):
    """A pool has a directory of that name which the catalog does not know; on a share another host may have made it."""


class CatalogFailed(PyvolError):
    """The catalog could not be opened or written; what was done on disk is taken back, now or at the next start."""


class BadSetting(PyvolError):
    """pyvol cannot start like this; nothing was touched."""


class Unreachable(PyvolError):
    """Whoever has to be asked does not answer, or not as it should.

    Attributes:
        summary: what is wrong.
        hint: what to do about it.
    """

    def __init__(self, summary: str, hint: str) -> None:
        super().__init__(f"{summary}: {hint}")
        self.summary = summary
        self.hint = hint


class DaemonUnreachable(Unreachable):
    """No daemon answers on the socket."""


class EngineUnreachable(Unreachable):
    """No engine answers on its socket, or not what has to be known."""


class EngineRefused(PyvolError):
    """An engine did not do what it was asked."""
