"""Tests with real file systems that fail under a running pyvol: full, read-only, broken, hanging."""
