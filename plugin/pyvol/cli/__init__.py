"""The `pyvol` command."""
