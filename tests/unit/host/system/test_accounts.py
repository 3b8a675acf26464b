"""Users and groups of this host, by name."""

import pytest

from pyvol.host.system.accounts import HostAccounts, NoAccounts


def test_names_of_this_host_have_numbers() -> None:
    """Every Linux has root."""
    assert (HostAccounts().uid("root"), HostAccounts().gid("root")) == (0, 0)


@pytest.mark.parametrize("name", ["nobody-has-this-name", "a\0b", "\ud800"])
def test_a_name_that_nobody_has_is_a_key_error(name: str) -> None:
    """Also a name that no passwd file can contain."""
    for find in (HostAccounts().uid, HostAccounts().gid):
        with pytest.raises(KeyError):
            find(name)


def test_without_the_root_of_the_host_only_numbers_are_accepted() -> None:
    """The container's own users would be other people."""
    for find, kind in ((NoAccounts().uid, "users"), (NoAccounts().gid, "groups")):
        with pytest.raises(ValueError, match=f"it does not see the {kind} of this host: use the number"):
            find("alice")
