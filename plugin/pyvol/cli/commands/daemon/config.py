"""`pyvol config`: print the settings in effect."""

import click

from pyvol.cli.setting_options import load_settings, setting_options
from pyvol.cli.table import show_json, show_table
from pyvol.config import settings
from pyvol.core.model.volume import DEFAULT_POOL


@click.command("config", short_help="Print the settings in effect, and where each comes from.")
@setting_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def config_(context: click.Context, /, *, as_json: bool, **_: str) -> None:
    """Print the settings in effect, and where each comes from.

    \b
    Examples:
      pyvol config
      PYVOL_TRASH_KEEP=30d pyvol config --json
    """
    holds = load_settings(context)
    rows = [(row.key, row.show(getattr(holds, row.key)), holds.sources[row.key]) for row in settings.TABLE]
    file = f"file {holds.config}"
    of_settings = {
        DEFAULT_POOL: "root",
        **({settings.NFS_POOL: holds.sources["nfs_export"]} if holds.nfs_export else {}),
    }
    pools = [(f"pools.{pool.name}", str(pool.path), of_settings.get(pool.name, file)) for pool in holds.pools]
    if as_json:
        show_json({key: {"value": value, "source": source} for key, value, source in [*rows, *pools]})
    else:
        show_table(("SETTING", "VALUE", "SOURCE"), [*rows, *pools], "")
