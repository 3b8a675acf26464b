"""Unfinished volumes: how a volume is built, and what a crash leaves of it.

`new-<id>` never became a volume: the next start makes it `gone-<id>`. `taken-<id>` has files that existed
before it: it becomes a volume. `gone-<id>` waits for its deletion by `purge`.
"""

import os

from pyvol.core.model.volume import Volume
from pyvol.host.files import delete_tree, directories, durable
from pyvol.storage.layout import DATA, GONE, MANIFEST, NEW, TAKEN
from pyvol.storage.local import manifest

DATA_MODE = 0o755
"""The mode that Docker's local driver sets; copy-up changes it to the image's (fact 13)."""
UNFINISHED_S = 24 * 3600.0
"""Another host may be about to finish what is younger; no creation takes longer."""


def build(staged: str, volume: Volume, root: str) -> None:
    """Create a volume's directory at `staged`, durably, and its subdir below the pool's root.

    Raises OSError.
    """
    spec = volume.spec
    os.mkdir(staged)
    os.chmod(staged, directories.PASS_THROUGH_MODE)
    if spec.keeps_data:
        os.mkdir(f"{staged}/{DATA}")
        directories.own(f"{staged}/{DATA}", spec.uid, spec.gid, DATA_MODE if spec.mode is None else spec.mode)
    if spec.subdir is not None:
        directories.make_below(root, spec.subdir, DATA_MODE)
    # Everything is created before the first sync, so that one commit of the file system's journal has it all.
    durable.write_new(f"{staged}/{MANIFEST}", manifest.encode(volume))
    if spec.keeps_data:
        durable.sync_directory(f"{staged}/{DATA}")
    durable.sync_directory(staged)


def clear(directory: str, volumes: str) -> int:
    """Leave unfinished volumes to `purge`, publish volumes that were being adopted; return how many to purge.

    A half copy can have millions of files, and a start must not wait for their deletion. Raises OSError at
    the end if a directory could not be looked at, or renamed; it stays for the next start.
    """
    failed: OSError | None = None
    for name in os.listdir(directory):
        if name.startswith(TAKEN):
            try:
                _finish(f"{directory}/{name}", volumes)
            except OSError as error:
                failed = error
    unfinished = _unfinished(directory)
    for name in unfinished:
        try:
            os.rename(f"{directory}/{name}", f"{directory}/{GONE}{name.removeprefix(NEW)}")
        except OSError as error:
            failed = error
    if failed is not None:
        raise failed
    return len(unfinished)


def clear_old(directory: str) -> int:
    """Delete what is a day old by the clock of the file system, which may be a server's. Raises OSError."""
    unfinished = _unfinished(directory)
    if not unfinished:
        return 0
    os.utime(directory)
    latest = os.stat(directory).st_mtime - UNFINISHED_S
    old = [name for name in unfinished if _is_older(f"{directory}/{name}", latest)]
    for name in old:
        delete_tree.delete_tree(f"{directory}/{name}")
    return len(old)


def _unfinished(directory: str) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(NEW)]


def _finish(place: str, volumes: str) -> None:
    try:
        os.lstat(f"{place}/{DATA}")
    except FileNotFoundError:
        delete_tree.delete_tree(place)  # the files are still where they were
        return
    try:
        with open(f"{place}/{MANIFEST}", "rb") as file:
            name = manifest.decode(file.read()).name
    except (FileNotFoundError, manifest.ManifestUnreadable):  # its volume is listed as unreadable
        name = "adopted"
    target = f"{volumes}/{name}"
    if os.path.lexists(target):  # created by hand after the crash: both are kept
        target = f"{volumes}/{name[:150]}.{os.path.basename(place)}"
    durable.move(place, target)


def _is_older(path: str, latest: float) -> bool:
    try:
        return os.lstat(path).st_mtime < latest
    except FileNotFoundError:  # another host has just finished it
        return False
