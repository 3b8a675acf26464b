"""`python -m bench`: run the sections, print the tables, write the JSON file."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from bench import daemons, footprint, load, over_nfs, report, through_docker, verbs

Measure = Callable[[Path], list[report.Row]]
SECTIONS = ("socket", "load", "footprint", "docker", "nfs")


@click.command()
@click.option("--quick", is_flag=True, help="Run fewer rounds with fewer volumes: a rough impression only.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write all numbers to this file."
)
@click.option(
    "--section", "chosen", multiple=True, type=click.Choice(SECTIONS), help="Run only this section; repeatable."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default="/var/tmp",  # noqa: S108  # a new directory is made in it
    show_default=True,
    help="A directory on the disk to measure; all files are made and removed in a new directory there.",
)
@click.option("--dockerd", default="dockerd", show_default=True, help="The engine's program.")
@click.option("--docker", default="docker", show_default=True, help="The client's program.")
def main(  # noqa: PLR0913  # one argument per option
    *,
    quick: bool,
    json_file: Path | None,
    chosen: tuple[str, ...],
    directory: Path,
    dockerd: str,
    docker: str,
) -> None:
    """Measure pyvol, its floors and another plugin in one run. Needs root; takes some minutes."""
    if os.geteuid() != 0:
        raise click.ClickException("pyvol and a Docker engine need root: run this command as root")
    console = Console(width=None if sys.stdout.isatty() else 150)
    missing = {
        section: [program for program in programs if shutil.which(program) is None]
        for section, programs in (
            ("docker", (dockerd, docker, "busybox")),
            ("nfs", ("linux.uml", "rpc.nfsd", "mount.nfs", "busybox")),
        )
    }
    measures: dict[str, Measure] = {
        "socket": lambda scratch: verbs.measure(scratch, verbs.QUICK if quick else verbs.FULL),
        "load": lambda scratch: load.measure(scratch, load.QUICK if quick else load.FULL),
        "footprint": lambda scratch: footprint.measure(scratch, footprint.QUICK if quick else footprint.FULL),
        "docker": lambda scratch: through_docker.measure(
            scratch, through_docker.QUICK if quick else through_docker.FULL, dockerd, docker
        ),
        "nfs": lambda scratch: over_nfs.measure(scratch, over_nfs.QUICK if quick else over_nfs.FULL),
    }
    about = report.machine(directory)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    if daemons.rclone() is None:
        console.print("rclone is not installed: no comparison with another plugin, and no Mount that hangs")
    rows: list[report.Row] = []
    for section in chosen or SECTIONS:
        if missing.get(section):
            console.print(f"section {section} is skipped: {', '.join(missing[section])} not found")
            continue
        begun = time.monotonic()
        clock = Progress(
            TextColumn("{task.description}"), TimeElapsedColumn(),
            console=console, transient=True, refresh_per_second=1,
        )  # fmt: skip
        with clock, tempfile.TemporaryDirectory(prefix="pyvol-bench-", dir=directory) as scratch:
            clock.add_task(f"section {section}")
            measured = measures[section](Path(scratch))
        report.print_table(measured, console)
        console.print(f"[dim]{section} took {time.monotonic() - begun:.0f} s[/dim]\n", highlight=False)
        rows += measured
    if json_file is not None:
        report.save(rows, about, json_file)
    met = [row.aim.met for row in rows if row.aim]
    console.print(f"{sum(met)} of {len(met)} aims met")


if __name__ == "__main__":
    main()
