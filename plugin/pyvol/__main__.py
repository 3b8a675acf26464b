"""``python -m pyvol``: the same as the ``pyvol`` command."""

from pyvol.cli import main

main()
