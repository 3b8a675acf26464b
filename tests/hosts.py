"""Two hosts in one process that share a pool; `shares.py` has what they use instead of NFS."""

from pathlib import Path

from house import House
from pyvol.storage.nfs.export_mount import TURN_WAIT_S
from pyvol.storage.nfs.pool import NfsPool
from shares import Share


class Hosts:
    """Two hosts whose default pool is on one share.

    Args:
        scratch: an empty directory.
        lock_wait_s: how long a request waits for a volume that another request has locked.
        turn_wait_s: how long a request waits for another one that is mounting the share.
    """

    def __init__(self, scratch: Path, lock_wait_s: float = 5.0, turn_wait_s: float = TURN_WAIT_S) -> None:
        self._lock_wait_s = lock_wait_s
        self.share = Share(scratch / "share")
        self.pools = {name: self.share.pool(name, turn_wait_s=turn_wait_s) for name in ("a", "b")}
        self.a, self.b = (self._house(scratch / name, pool) for name, pool in self.pools.items())

    def follow(self, house: House) -> None:
        """Do what the watcher of a host's pool does."""
        pool = self.pools["a" if house is self.a else "b"]
        house.shared_pools.follow(pool)
        house.shared_pools.hold_claimed(pool)

    def close(self) -> None:
        """Stop both hosts, and the share."""
        for house in (self.a, self.b):
            house.close()
        self.share.close()

    def _house(self, root: Path, pool: NfsPool) -> House:
        root.mkdir()
        return House(root, pools={}, shared={"default": pool}, lock_wait_s=self._lock_wait_s)
