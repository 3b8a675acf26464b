"""The commands of `pyvol`, one file each."""
