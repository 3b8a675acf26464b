"""The sources of settings for `pyvol serve` and `pyvol config`."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from pyvol.cli.commands.daemon.config import config_
from pyvol.cli.setting_options import load_settings
from pyvol.config.settings import Settings
from pyvol.core.errors import BadSetting


def load(*words: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a command line and an environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (name for name in os.environ if name.startswith("PYVOL_")):
            patch.delenv(name)
        for name, text in (environment or {}).items():
            patch.setenv(name, text)
        return load_settings(config_.make_context("config", [*words]))


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    """Each value has its source; an empty variable does not count."""
    file = tmp_path / "pyvol.toml"
    file.write_text('trash_keep = "1d"\nscope = "global"\nlog_level = "debug"\n[pools.fast]\npath = "/srv/fast"')
    found = load(
        *("--trash-keep", "3d"),
        environment={
            "PYVOL_CONFIG": f"{tmp_path}/./pyvol.toml",
            "PYVOL_SCOPE": "local",
            "PYVOL_TRASH_KEEP": "2d",
            "PYVOL_LOG_LEVEL": "",
        },
    )
    assert (found.trash_keep, found.scope, found.log_level) == (timedelta(days=3), "local", "debug")
    assert found.sources["trash_keep"] == "flag --trash-keep"
    assert found.sources["scope"] == "environment PYVOL_SCOPE"
    assert found.sources["log_level"] == f"file {file}"
    assert found.sources["config"] == "environment PYVOL_CONFIG"
    assert (found.sources["root"], found.sources["state_dir"]) == ("default", "root")
    assert [pool.name for pool in found.pools] == ["default", "fast"]


def test_the_error_of_a_setting_names_its_source(tmp_path: Path) -> None:
    """So that the right one of three places is corrected."""
    with pytest.raises(BadSetting, match=r"setting scope \(flag --scope\) is invalid: 'x' is not one of"):
        load("--scope", "x")
    with pytest.raises(BadSetting, match=r"setting scope \(environment PYVOL_SCOPE\) is invalid: 'x' is not one of"):
        load(environment={"PYVOL_SCOPE": "x"})
    with pytest.raises(BadSetting, match=r"setting config \(flag --config\) is invalid: 'x' is not an absolute path"):
        load("--config", "x")
    file = tmp_path / "pyvol.toml"
    file.write_text("scope = 'x'")
    with pytest.raises(BadSetting, match=rf"setting scope \(file {file}\) is invalid: 'x' is not one of"):
        load("--config", str(file))


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    """A typo in --config or PYVOL_CONFIG stops the start; only the default file may be missing."""
    missing = str(tmp_path / "nope")
    with pytest.raises(BadSetting, match="does not exist: create it, or name another file with --config"):
        load("--config", missing)
    with pytest.raises(BadSetting, match="does not exist: create it, or name another file with --config"):
        load(environment={"PYVOL_CONFIG": missing})


def test_an_unknown_variable_is_named() -> None:
    """A misspelled PYVOL_ variable is an error that lists the known ones."""
    with pytest.raises(BadSetting, match=r"PYVOL_ROTO: did you mean 'PYVOL_ROOT'\? pyvol knows PYVOL_ALLOWED_PATHS"):
        load(environment={"PYVOL_ROTO": "/x"})
