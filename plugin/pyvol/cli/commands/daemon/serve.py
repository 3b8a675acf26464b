"""`pyvol serve`: run the daemon."""

import click

from pyvol.cli.setting_options import load_settings, setting_options


@click.command("serve", short_help="Run the daemon.")
@setting_options
@click.pass_context
def serve_(context: click.Context, /, **_: str) -> None:
    """Run the daemon until SIGTERM.

    Precedence, highest first: flags, PYVOL_* environment variables, the settings file, defaults.

    \b
    Examples:
      pyvol serve
      pyvol serve --root /srv/volumes --log-level debug
      PYVOL_SOCKET=/tmp/p/pyvol.sock PYVOL_ROOT=/tmp/p pyvol serve
    """
    holds = load_settings(context)
    from pyvol.daemon import listener  # noqa: PLC0415
    from pyvol.daemon.log import configure  # noqa: PLC0415

    log = configure(holds.log_level, holds.log_format)
    bind = listener.open_listener(holds, log)
    # Only this command needs a web server, and a web framework, and their start-up time.
    from pyvol.daemon import gunicorn_server  # noqa: PLC0415

    gunicorn_server.serve(holds, log, bind)
