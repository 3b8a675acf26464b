"""pyvol: a Docker volume plugin over directories that outlive their containers."""

__version__ = "0.1.0"
