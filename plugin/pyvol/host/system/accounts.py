"""Users and groups of this host, see passwd(5) and group(5)."""

import grp
import pwd
from collections.abc import Callable

from pyvol.core.errors import BadValue


class HostAccounts:
    """Find the numbers of users and groups by name. Implements `pyvol.core.model.option_values.Accounts`."""

    def uid(self, name: str) -> int:
        """Return the number of a user, or raise KeyError."""
        return _number(lambda: pwd.getpwnam(name).pw_uid, name)

    def gid(self, name: str) -> int:
        """Return the number of a group, or raise KeyError."""
        return _number(lambda: grp.getgrnam(name).gr_gid, name)


class NoAccounts:
    """Refuse names: pyvol does not run on the root file system of the host. Also implements `Accounts`."""

    def uid(self, name: str) -> int:
        """Raise `BadValue`."""
        raise BadValue(f"pyvol cannot look up {name!r}: it does not see the users of this host", "use the number")

    def gid(self, name: str) -> int:
        """Raise `BadValue`."""
        raise BadValue(f"pyvol cannot look up {name!r}: it does not see the groups of this host", "use the number")


def _number(find: Callable[[], int], name: str) -> int:
    try:
        return find()
    except ValueError:  # a NUL or a lone surrogate in the name
        raise KeyError(name) from None
