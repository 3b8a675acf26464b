"""Driver options: one strict grammar, and errors that name what is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeAccounts
from pyvol.core.errors import BadOption, OptionHelp
from pyvol.core.model import options
from pyvol.core.model.option_values import Context
from pyvol.core.model.volume import MountType, OnRemove, VolumeSpec
from pyvol.host.system.accounts import NoAccounts

CONTEXT = Context({"default", "fast"}, FakeAccounts())


def parse(**given_options: str) -> VolumeSpec:
    """Parse options on a host with two pools, one user and one group."""
    return options.parse(given_options, CONTEXT)


@pytest.mark.parametrize("none", [None, {}])
def test_no_options_are_the_defaults(none: dict[str, str] | None) -> None:
    """Create without options sends null (fact 4)."""
    assert options.parse(none, CONTEXT) == VolumeSpec()


def test_every_option() -> None:
    """Names of users become numbers, modes are octal, a flag needs no value."""
    spec = parse(pool="fast", uid="alice", gid="staff", mode="0750", on_remove="keep", protect="")
    assert spec == VolumeSpec("fast", 1000, 50, 0o750, None, OnRemove.KEEP, protect=True)
    assert options.shown(spec) == {
        "pool": "fast",
        "uid": "1000",
        "gid": "50",
        "mode": "0750",
        "on_remove": "keep",
        "protect": "true",
    }


@pytest.mark.parametrize(
    ("key", "text", "summary"),
    [
        ("pool", "slow", "option pool is invalid: there is no pool 'slow'; use a pool of the settings: default, fast"),
        ("uid", "bob", "option uid is invalid: this host has no user 'bob'; use the number"),
        ("gid", "wheel", "option gid is invalid: this host has no group 'wheel'"),
        ("uid", "-1", "this host has no user '-1'"),
        ("uid", "4294967295", "is too large; use a number of at most 4294967294"),
        ("uid", "9" * 5000, "is too large; use a number of at most"),
        ("mode", "rwx", "option mode is invalid: 'rwx' is not a mode; use octal digits, for example 0750; in YAML"),
        ("mode", "17777", "is too large; use a mode of at most 7777"),
        ("mode", "", "is not a mode"),
        ("path", "relative", "option path is invalid: 'relative' is not an absolute path; start the path with /"),
        ("on_remove", "burn", "option on_remove is invalid: 'burn' is not one of .*use one of trash, delete, keep"),
        ("protect", "maybe", "option protect is invalid: 'maybe' is neither true nor false"),
        ("sise", "1", "unknown option 'sise': pyvol knows pool, uid, gid, mode, path, on_remove, protect"),
        ("on-remove", "keep", "did you mean 'on_remove'?"),
        ("x" * 1000, "", r"unknown option 'x{40}…'"),
        ("", "", "unknown option ''"),
    ],
)
def test_what_is_not_taken_is_named(key: str, text: str, summary: str) -> None:
    """A typo is an error that says what would be right."""
    with pytest.raises(BadOption, match=summary):
        options.parse({key: text}, CONTEXT)


def test_help_lists_every_option() -> None:
    """`-o help` answers with each option, what it takes and what it means."""
    with pytest.raises(OptionHelp) as raised:
        parse(help="")
    for option in options.TABLE:
        assert f"{option.key}={option.takes}" in str(raised.value)
        assert option.help in str(raised.value)


def test_podmans_echoes_are_known() -> None:
    """Podman sends `-o o=uid=1000,gid=50` with UID and GID once more in capitals (fact 17)."""
    assert parse(o="uid=1000,gid=50", UID="1000", GID="50") == VolumeSpec(uid=1000, gid=50)


def test_an_echo_alone_or_of_another_value_is_unknown() -> None:
    """An option in capitals is an unknown option unless it repeats a known one."""
    with pytest.raises(BadOption, match="unknown option 'UID': did you mean 'uid'"):
        parse(UID="1000")
    with pytest.raises(BadOption, match="unknown option 'UID'"):
        parse(o="uid=1000", UID="1001")
    with pytest.raises(BadOption, match="unknown option 'size'"):
        parse(o="uid=1000,size=1G", UID="1000", SIZE="1G")


def test_one_option_with_two_values_is_refused() -> None:
    """No guess which one was meant, and no secret in the answer."""
    with pytest.raises(BadOption, match=r"option cred is given twice: as 'cred=\*+' and in o='cred=\*+'"):
        parse(cred="hunter2", o="cred=hunter3")
    with pytest.raises(BadOption, match="option uid is given twice"):
        parse(uid="1", o="uid=2")
    assert parse(uid="1", o="uid=1") == VolumeSpec(uid=1)


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(options.BY_KEY)), st.text(max_size=12)))
def test_any_options_are_a_spec_or_one_error(given_options: dict[str, str]) -> None:
    """Any options of an engine get an answer, and accepted options are shown so that they parse again."""
    try:
        spec = options.parse(given_options, CONTEXT)
    except (BadOption, OptionHelp):
        return
    assert options.parse(options.shown(spec), CONTEXT) == spec


def test_users_of_a_host_that_is_not_seen_have_numbers() -> None:
    """In a root file system of its own pyvol would look names up in the wrong list."""
    strangers = Context(["default"], NoAccounts())
    assert options.parse({"uid": "1000", "gid": "1001"}, strangers).uid == 1000
    for key in ("uid", "gid"):
        with pytest.raises(
            BadOption, match=rf"option {key} is invalid: pyvol cannot look up 'bob': .*; use the number"
        ):
            options.parse({key: "bob"}, strangers)


def test_a_volume_goes_to_the_default_pool_of_the_settings() -> None:
    """A volume with a path or a mount of this host is in the pool named default instead."""
    context = Context({"default", "nfs"}, FakeAccounts(), "nfs")
    assert options.parse(None, context).pool == "nfs"
    assert options.parse({"pool": "default"}, context).pool == "default"
    assert options.parse({"path": "/srv/x"}, context).pool == "default"
    assert options.parse({"type": "tmpfs", "device": "tmpfs"}, context).pool == "default"
    assert options.parse({"pool": "nfs", "path": "/srv/x"}, context).pool == "nfs"


@pytest.mark.parametrize(
    "text", ["", "/", "..", "a/../b", "a//b", "volumes/x", "locks", "trash", "a\nb", ".", "pyvol.db-journal"]
)
def test_a_subdir_stays_below_the_pool_and_out_of_pyvols_directories(text: str) -> None:
    """Nothing leaves the pool's root (promise 6)."""
    with pytest.raises(
        BadOption, match=r"option subdir is invalid: .* is not a directory that volumes of this pool can have"
    ):
        parse(subdir=text)
    assert parse(subdir="/team-a/{name}/").subdir == "team-a/{name}"


@pytest.mark.parametrize("name", ["volumes", "trash", "staging", "locks"])
def test_no_volumes_name_leads_a_subdir_to_pyvols_directories(name: str) -> None:
    """A volume called `trash` would otherwise hand all that was removed to its container."""
    whole, below = parse(subdir="{name}"), parse(subdir="team-a/{name}")
    assert options.with_name(below, name, CONTEXT).subdir == f"team-a/{name}"
    with pytest.raises(
        BadOption, match=rf"option subdir is invalid: '{name}' is not a directory that volumes of this pool"
    ):
        options.with_name(whole, name, CONTEXT)


@pytest.mark.parametrize("text", ["team-a/{nome}", "{", "a}b", "{name", "{{name}}"])
def test_braces_in_a_subdir_only_stand_for_the_name(text: str) -> None:
    """A misspelt one would be one directory that all volumes with the same slip share."""
    with pytest.raises(BadOption, match=r"braces that are not part of \{name\}; only \{name\} is replaced"):
        parse(subdir=text)


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({"subdir": "a", "path": "/srv/x"}, "subdir= and path= contradict"),
        ({"subdir": "a", "type": "tmpfs", "device": "tmpfs"}, "subdir= and type= contradict"),
        ({"subdir": "a", "on_remove": "delete"}, "subdir= and on_remove=delete contradict"),
        ({"access": "some"}, "option access is invalid: 'some' is not one of .*use one of shared, exclusive"),
    ],
)
def test_contradictions_of_where_a_volume_is(given: dict[str, str], summary: str) -> None:
    """A volume is in one place."""
    with pytest.raises(BadOption, match=summary):
        parse(**given)


@pytest.mark.parametrize(
    ("spec", "summary"),
    [
        (VolumeSpec(uid=-5), "option uid"),
        (VolumeSpec(subdir="a//b/"), "option subdir"),
        (VolumeSpec(subdir="/a/"), "is invalid: pyvol does not write"),
        (
            VolumeSpec(type=MountType.NONE, device="/srv/x", o="bind"),
            "the options are invalid: pyvol does not write this combination",
        ),
    ],
)
def test_a_spec_from_a_disk_is_checked_as_an_engines_is(spec: VolumeSpec, summary: str) -> None:
    """Nobody could have asked for it."""
    with pytest.raises(BadOption, match=summary):
        options.check_read(spec)
