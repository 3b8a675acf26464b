"""Mounted volumes as options: the words of Docker's local driver, and what they become."""

import pytest

from fakes import FakeAccounts
from pyvol.core.errors import BadOption
from pyvol.core.model import mount_spec, options
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.option_values import Context
from pyvol.core.model.volume import MountType, VolumeSpec

CONTEXT = Context({"default"}, FakeAccounts())


def parse(**given: str) -> VolumeSpec:
    """Parse options on a host with one pool."""
    return options.parse(given, CONTEXT)


@pytest.mark.parametrize(
    ("device", "o", "export"),
    [
        (":/data", "addr=nas.lan,vers=4", NfsExport("nas.lan", "/data", "vers=4")),
        ("nas.lan:/data", "", NfsExport("nas.lan", "/data", "")),
        ("nas.lan:/data", "addr=10.0.0.1,soft", NfsExport("10.0.0.1", "/data", "soft")),
        (":/", "rw,addr=fe80::1", NfsExport("fe80::1", "/", "rw")),
        ("[fe80::1]:/a/b", "", NfsExport("fe80::1", "/a/b", "")),
    ],
)
def test_an_export_is_read_as_docker_reads_it(device: str, o: str, export: NfsExport) -> None:
    """`addr` is the server, whatever the device names; without it the device has to name one."""
    assert mount_spec.parse(device, o) == export


def test_an_ipv6_address_gets_brackets_for_mount() -> None:
    """mount.nfs could not tell its colons from the one before the path."""
    assert mount_spec.parse(":/d", "addr=fe80::1").source == "[fe80::1]:/d"
    assert mount_spec.parse("nas:/d").source == "nas:/d"


@pytest.mark.parametrize(
    ("o", "port"),
    [("", 2049), ("port=2050", 2050), ("port=x", 2049), ("proto=udp", None), ("proto=tcp", 2049), ("rdma", None)],
)
def test_the_port_that_can_be_asked(o: str, port: int | None) -> None:
    """A server is asked over TCP, at the port that the mount uses."""
    assert mount_spec.parse("nas:/d", o).port == port


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({"type": "nfs"}, "missing required option 'device'"),
        ({"device": ":/x"}, "missing required option 'type'"),
        ({"type": "nfs", "device": ":/x"}, "names no server"),
        ({"type": "nfs", "device": "/x", "o": "addr=nas"}, "is not an NFS export"),
        (
            {"type": "ext4", "device": "/dev/sda"},
            "option type is invalid: 'ext4' is not one of .*use one of nfs, nfs4, tmpfs, none",
        ),
        ({"type": "none", "device": "/srv/x"}, "add bind to o"),
        ({"type": "none", "device": "srv", "o": "bind"}, "is not an absolute path"),
        ({"type": "nfs", "device": "-x:/x"}, r"option device is invalid: mount\(8\) does not accept '-x:/x'"),
        ({"type": "tmpfs", "device": "tmpfs", "path": "/srv/x"}, "path= and type= contradict"),
        ({"type": "tmpfs", "device": "tmpfs", "on_remove": "delete"}, "type= and on_remove=delete contradict"),
        ({"type": "tmpfs", "device": "tmpfs", "create": "false"}, "create=false is only for type=nfs"),
        ({"create": "false"}, "create=false is only for type=nfs"),
        (
            {"type": "tmpfs", "device": "/etc", "o": "bind"},
            "bind and type=tmpfs contradict each other: bind would mount",
        ),
        ({"type": "tmpfs", "device": "/srv/x", "o": "size=1m,move"}, "bind and type=.* contradict each other"),
        ({"type": "nfs", "device": "nas:/x", "o": "soft,rbind"}, "bind and type=.* contradict each other"),
    ],
)
def test_what_cannot_be_mounted_is_refused_at_creation(given: dict[str, str], summary: str) -> None:
    """A sentence says what is missing or contradicts, before a container fails to start."""
    with pytest.raises(BadOption, match=summary):
        parse(**given)


def test_a_plain_bind_is_an_adopted_path() -> None:
    """`type=none,o=bind` of a Compose file is what `path=` is."""
    assert parse(type="none", o="bind", device="/srv/x") == VolumeSpec(path="/srv/x")
    assert parse(type="none", o="bind,ro", device="/srv/x").type is MountType.NONE


def test_options_of_a_mount_stay_as_they_are() -> None:
    """With a type, `o` is the mount's, `uid` in it included; Podman's echoes of it are dropped (fact 17)."""
    spec = parse(type="tmpfs", device="tmpfs", o="size=1m,uid=1000", UID="1000", SIZE="1m")
    assert spec == VolumeSpec(type=MountType.TMPFS, device="tmpfs", o="size=1m,uid=1000")


def test_secrets_are_shown_to_nobody() -> None:
    """Secrets are neither in the shown options nor in the differences."""
    given = {"type": "nfs", "device": "nas:/x", "o": "user=me,password=sesame,vers=3"}
    spec = parse(**given)
    assert options.shown(spec)["o"] == "user=me,password=********,vers=3"
    assert "sesame" not in options.differences(spec, VolumeSpec())
    with pytest.raises(BadOption) as raised:
        parse(**{**given, "o": "-password=sesame"})
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("rw,password=x y,vers=3", "rw,password=********,vers=3"),
        ("PASS=a,,b,rw", "PASS=********,rw"),
        ('passwd="a,b",rw', "passwd=********,rw"),
        ("cred=/etc/x,credentials=/etc/y,password2=z", "cred=********,credentials=********,password2=********"),
        ("my_secret=x,access_token=y", "my_secret=********,access_token=********"),
        ("addr=nas.lan,nopass,vers=4.2,sec=krb5", "addr=nas.lan,nopass,vers=4.2,sec=krb5"),
    ],
)
def test_secrets_in_options_are_masked(options: str, shown: str) -> None:
    """However they are called and quoted, and nothing else is."""
    assert mount_spec.redact(options) == shown
