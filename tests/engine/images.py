"""The image that replaces busybox: built from the machine's static busybox and imported, never pulled."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
BOX = "box:1"
BOX_WITH_VOLUME = "box-with-volume:1"

# What a copy-up copies into a new volume: an owner and a mode that no other file has by chance.
SEEDED = "/seeded"
SEEDED_UID = 1234
SEEDED_GID = 2345
SEEDED_MODE = 0o750
SEEDED_FILES = {"greeting": "from the image\n", "below/deep": "further down\n"}


def add(
    archive: tarfile.TarFile, name: str, *, content: bytes | None = None, link: str = "", mode: int = 0o755
) -> None:
    """Add a file, a symlink or a directory; entries below the seeded directory get its owner."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    elif content is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = len(content)
    if f"/{name}".startswith(SEEDED):
        entry.uid, entry.gid = SEEDED_UID, SEEDED_GID
    archive.addfile(entry, io.BytesIO(content or b""))


def build_root() -> bytes:
    """Build the root file system as a tar archive."""
    if not BUSYBOX.exists():
        raise RuntimeError("the stand-in image needs /bin/busybox: install busybox-static")
    applets = subprocess.run([str(BUSYBOX), "--list"], check=True, capture_output=True, text=True).stdout.split()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for directory in ("bin", "etc", "root", "empty"):
            add(archive, directory)
        add(archive, "tmp", mode=0o1777)
        add(archive, "bin/busybox", content=BUSYBOX.read_bytes())
        for applet in applets:
            if applet != "busybox":
                add(archive, f"bin/{applet}", link="busybox")
        add(archive, "etc/passwd", content=b"root:x:0:0::/root:/bin/sh\n", mode=0o644)
        add(archive, SEEDED.lstrip("/"), mode=SEEDED_MODE)
        add(archive, f"{SEEDED}/below".lstrip("/"))
        for name, content in SEEDED_FILES.items():
            add(archive, f"{SEEDED}/{name}".lstrip("/"), content=content.encode(), mode=0o640)
    return stream.getvalue()
