"""Settings: their values, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from pyvol.config import settings
from pyvol.core.errors import BadSetting
from pyvol.core.model.mount_spec import NfsExport


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty settings file."""
    path = tmp_path / "pyvol.toml"
    path.touch()
    return path


def load(file: Path, text: str = "", **texts: str) -> settings.Settings:
    """Load settings from a file of that text, and from texts that take precedence."""
    file.write_text(text)
    found = settings.read_file(file)
    return settings.load({**found, "config": str(file), **texts}, dict.fromkeys(found.keys() - texts, f"file {file}"))


def test_the_defaults_need_no_settings() -> None:
    """Docker's socket directory, the state beside the volumes, a week of trash."""
    holds = settings.load({})
    assert holds.socket == Path("/run/docker/plugins/pyvol.sock")
    assert holds.root == holds.state_dir == Path("/var/lib/pyvol")
    assert holds.trash_keep == timedelta(days=7)
    assert holds.trash_min_free == 10
    assert holds.scope == "local"
    assert set(holds.sources.values()) == {"default", "root"}


def test_pools_of_the_file(file: Path) -> None:
    """The pool in root is called default; pools with other names come only from the file."""
    holds = load(file, '[pools.fast]\nkind = "local"\npath = "/srv/fast"\n')
    assert [(pool.name, str(pool.path)) for pool in holds.pools] == [
        ("default", "/var/lib/pyvol"),
        ("fast", "/srv/fast"),
    ]


def test_an_export_makes_a_pool(file: Path) -> None:
    """In the file it has any name; the pool of nfs_export is called nfs, and is then the default pool."""
    holds = load(
        file,
        '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/v"\noptions = "vers=4.2"\n',
        nfs_export="nas2.lan:/v",
        nfs_options="vers=3",
    )
    assert [(pool.name, pool.export) for pool in holds.pools] == [
        ("default", None),
        ("nas", NfsExport("nas.lan", "/export/v", "vers=4.2")),
        ("nfs", NfsExport("nas2.lan", "/v", "vers=3")),
    ]
    assert holds.pools[1].path == Path("/var/lib/pyvol/pools/nas")
    assert holds.default_pool == "nfs"
    assert load(file, 'default_pool = "default"', nfs_export="nas:/v").default_pool == "default"
    assert load(file).default_pool == "default"


def test_lists_of_paths(file: Path) -> None:
    """A list in the file, separated by colons elsewhere; a path may contain a colon in both."""
    paths = (Path("/srv/a"), Path("/srv/b"))
    assert load(file, 'allowed_paths = ["/srv/a", "/srv/b"]').allowed_paths == paths
    assert load(file, allowed_paths="/srv/a:/srv/b/").allowed_paths == paths
    odd = (Path("/srv/a:b"), Path("/srv/c"))
    assert load(file, 'allowed_paths = ["/srv/a:b", "/srv/c"]').allowed_paths == odd
    assert load(file, allowed_paths=r"/srv/a\:b:/srv/c").allowed_paths == odd
    assert settings.BY_KEY["allowed_paths"].show(odd) == r"/srv/a\:b:/srv/c"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (
            "scope = 'everywhere'",
            r"setting scope \(file .*\) is invalid: 'everywhere' is not one of the possible values",
        ),
        ("root = 'relative'", "setting root .*: 'relative' is not an absolute path"),
        ("trash_keep = 7", "the value of trash_keep is not a text: put it in quotes"),
        ("trash_keep = '7'", "is not a duration"),
        ("trash_min_free = '1'", "is not a percentage"),
        ("rot = '/x'", r"unknown setting 'rot': did you mean 'root'\? pyvol knows socket, root"),
        ("config = '/x'", "unknown setting 'config'"),
        ("not a TOML file", "cannot be read"),
        ("[pools.default]\npath = '/x'", "is the pool in the setting root: set root instead"),
        ("[pools.a]\nkind = 'local'", "key 'path' is missing"),
        ("[pools.a]\npath = 'x'", "'x' is not an absolute path"),
        ("[pools.a]\nkind = 'tape'\npath = '/x'", "unknown kind 'tape': use one of local, nfs"),
        ("[pools.a]\nkind = 'nfs'", 'is missing, or is not a text: add export = "nas.lan:/volumes"'),
        ("[pools.a]\nkind = 'nfs'\nexport = '/x'", "'/x' is not an NFS export"),
        ("[pools.a]\nkind = 'nfs'\nexport = 'nas:/x'\noptions = 4", "the value of options is not a text"),
        ("[pools.a]\nkind = 'nfs'\nexport = 'nas:/x'\npath = '/x'", "unknown key 'path': use one of export, kind"),
        ("default_pool = 'fast'", "there is no pool 'fast'; use one of default"),
        ("nfs_options = 'vers=3'", "has no effect without nfs_export"),
        ("nfs_export = '/x'", "setting nfs_export .*: device '/x' is not an NFS export"),
        ("nfs_export = 'nas:/x'\n[pools.nfs]\npath = '/x'", r"also has \[pools.nfs\]"),
        ("nfs_timeout = '1s'", "use 2s to 50s"),
        ("[pools.a]\npaht = '/x'\npath = '/y'", "unknown key 'paht'"),
        ("[pools.'a b']\npath = '/x'", "is not a name for a pool"),
        ("pools = 1", "pools is not a set of tables"),
        ("[pools.a]\npath = '/srv/a'\n[pools.b]\npath = '/srv/a/b'", "pool 'b' is inside pool 'a'"),
        ("[pools.a]\npath = '/var/lib/pyvol'", "is inside pool"),
        (f"socket = '/{'x' * 110}'", "at most 107 bytes"),
    ],
)
def test_what_is_wrong_is_one_sentence(file: Path, text: str, summary: str) -> None:
    """The error names the setting, its source, and what would be right."""
    with pytest.raises(BadSetting, match=summary):
        load(file, text)
