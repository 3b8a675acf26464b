"""Every error that pyvol raises, as one tree.

An error has fields: what failed, the cause, a hint that says what to do, and the volume or the pool that it
is about. `str()` makes the sentence from the fields, last, and nothing reads a sentence back. `code` is
stable: programs compare it. `pyvol.api.error_codes` maps each code to an HTTP status and an exit code;
docs/errors.md explains each code.

    PyvolError              failed
      BadRequest              bad_request: the request cannot be understood
        EmptyBody               empty_body: a request that needs a body has none (engine facts 5 and 36)
        BadName                 bad_name: not a volume name (engine fact 6)
        BadOption               bad_option: an unknown option, an invalid value, or a contradiction
        OptionHelp              option_help: the text for `-o help`; an engine shows only errors
      NotFound                not_found: what the request names does not exist
        NoSuchVolume            no_such_volume
        NoSuchTrash             no_such_trash: the trash has no volume of this name or id
      Conflict                conflict: pyvol understands the request and refuses it
        VolumeExists            volume_exists: another volume has the name, or the volume has other options
        VolumeInUse             volume_in_use: a container or another host has the volume mounted
        VolumeProtected         volume_protected: the volume has protect=true
      Busy                    busy: another request holds the volume's lock, or the storage is stuck
      StorageFailed           storage_failed: a pool, a path or a file system did not do what pyvol asked
        NameTaken               name_taken: the pool has a directory that the catalog does not know
        ServerDown              server_down: the NFS server does not answer
      CatalogFailed           catalog_failed: the catalog cannot be opened or written
      BadSetting              bad_setting: pyvol cannot start with these settings
      Unreachable             unreachable: a program that has to be asked does not answer
        DaemonUnreachable       daemon_unreachable: no daemon answers on the socket
        EngineUnreachable       engine_unreachable: the container engine does not answer
      EngineRefused           engine_refused: the container engine did not do what pyvol asked
      InternalError           internal_error: a defect of pyvol
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a wrong shape, for bytes that are not text, and for nesting that is too deep."""


class PyvolError(Exception):
    """The root of the tree.

    Attributes:
        code: the stable name of this kind of error.
        what: what failed: a predicate of the volume or the pool where one is given (``cannot be created``),
            otherwise a sentence.
        cause: why; empty where `what` says it all.
        hint: what to do about it; empty where there is nothing to do.
        volume: the name of the volume that the error is about; empty for none.
        pool: the name of the pool that the error is about; empty for none.
    """

    code = "failed"

    def __init__(self, what: str, cause: str = "", hint: str = "", *, volume: str = "", pool: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.hint = hint
        self.volume = volume
        self.pool = pool

    def __str__(self) -> str:
        if not self.hint:
            return self.summary
        return f"{self.summary}{'; ' if self.cause else ': '}{self.hint}"

    @property
    def summary(self) -> str:
        """What failed and why, without the hint."""
        subject = f"volume {self.volume!r} " if self.volume else f"pool {self.pool!r} " if self.pool else ""
        return f"{subject}{self.what}: {self.cause}" if self.cause else f"{subject}{self.what}"

    @property
    def errno(self) -> int:
        """The kernel's error number, if an OSError caused this error; otherwise 0."""
        return self.__cause__.errno or 0 if isinstance(self.__cause__, OSError) else 0

    def blame(self, what: str, *, volume: str = "", pool: str = "") -> None:
        """Make the error one of a volume or a pool: `what` failed, and the old sentence is the cause.

        An error that names a volume stays as it is; so does an error that names a pool, if `pool` is given.
        """
        if self.volume or (pool and self.pool):
            return
        if not (self.pool and self.what == what):  # otherwise it would say the same of the volume and of its pool
            self.cause = self.summary
        self.what, self.volume, self.pool = what, volume, pool


def find_cause(error: BaseException | None) -> OSError | None:
    """Return the OSError at the bottom of a chain of exceptions; None if there is none."""
    cause = None
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            cause = error
        error = error.__context__
    return cause


@contextmanager
def naming(volume: str, what: str = "cannot be used") -> Iterator[None]:
    """Add the volume to each error of the body that names none, and say `what` failed (engine fact 39)."""
    try:
        yield
    except PyvolError as error:
        error.blame(what, volume=volume)
        raise


class BadValue(ValueError):
    """A text that is not a value of its kind.

    Its caller knows which option or setting has it, and raises an error.

    Attributes:
        cause: what is wrong with the text.
        hint: what to write instead.
    """

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(f"{cause}: {hint}" if hint else cause)
        self.cause = cause
        self.hint = hint


class BadRequest(PyvolError):
    """The request cannot be understood."""

    code = "bad_request"


class EmptyBody(BadRequest):
    """A request that needs a body has none: the engine lost it in a retry (engine fact 5)."""

    code = "empty_body"


class BadName(BadRequest):
    """The name is not a volume name (engine fact 6)."""

    code = "bad_name"


class BadOption(BadRequest):
    """An option is unknown, its value is invalid, or options contradict each other."""

    code = "bad_option"


class OptionHelp(BadRequest):
    """The text that ``-o help`` asks for."""

    code = "option_help"

    def blame(self, what: str, *, volume: str = "", pool: str = "") -> None:
        """Do nothing: the text is about no volume."""


class NotFound(PyvolError):
    """What the request names does not exist."""

    code = "not_found"


class NoSuchVolume(NotFound):
    """No volume has this name.

    Attributes:
        is_now: the volume's new name, if it was renamed.
    """

    code = "no_such_volume"

    def __init__(self, name: str, is_now: str | None = None) -> None:
        self.is_now = is_now
        if is_now:
            super().__init__("was renamed", f"its name is {is_now!r} now", "use that name", volume=name)
        else:
            super().__init__("does not exist", hint="`pyvol ls` lists the volumes", volume=name)


class NoSuchTrash(NotFound):
    """The trash has no volume of this name or id."""

    code = "no_such_trash"

    def __init__(self, name: str) -> None:
        super().__init__("is not in the trash", hint="`pyvol trash ls` lists what can be undeleted", volume=name)


class Conflict(PyvolError):
    """The request can be understood, and pyvol refuses it."""

    code = "conflict"


class VolumeExists(Conflict):
    """Another volume has the name, or the volume exists with other options (engine fact 12)."""

    code = "volume_exists"


class VolumeInUse(Conflict):
    """Another mount namespace, or another host, has the volume mounted (engine fact 32)."""

    code = "volume_in_use"


class VolumeProtected(Conflict):
    """The volume has protect=true."""

    code = "volume_protected"


class Busy(PyvolError):
    """The volume's lock, or a place at its storage, was not free before the engine's own deadline."""

    code = "busy"


class StorageFailed(PyvolError):
    """A pool, a path or a file system did not do what pyvol asked."""

    code = "storage_failed"


class NameTaken(StorageFailed):
    """The pool has a directory of this name that the catalog does not know.

    Another host may have created it.
    """

    code = "name_taken"


class ServerDown(StorageFailed):
    """The NFS server does not answer."""

    code = "server_down"


class CatalogFailed(PyvolError):
    """The catalog cannot be opened or written. pyvol undoes what it did on disk, now or at its next start."""

    code = "catalog_failed"


class BadSetting(PyvolError):
    """pyvol cannot start with these settings; it has changed nothing."""

    code = "bad_setting"


class Unreachable(PyvolError):
    """A program that has to be asked does not answer, or not as it should."""

    code = "unreachable"

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint=hint)


class DaemonUnreachable(Unreachable):
    """No daemon answers on the socket."""

    code = "daemon_unreachable"


class EngineUnreachable(Unreachable):
    """The container engine does not answer on its socket, or does not know what it is asked."""

    code = "engine_unreachable"


class EngineRefused(PyvolError):
    """The container engine did not do what pyvol asked."""

    code = "engine_refused"


class InternalError(PyvolError):
    """A defect of pyvol; the log has the traceback."""

    code = "internal_error"
