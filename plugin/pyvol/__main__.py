"""``python -m pyvol``: the same as the ``pyvol`` command."""

from pyvol.cli.group import main

main()
