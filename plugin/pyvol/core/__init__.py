"""What pyvol promises, in pure Python: no I/O, no clock, no framework."""
