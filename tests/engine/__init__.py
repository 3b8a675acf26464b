"""Tests of pyvol behind real engines: a private dockerd of each version, and Podman."""
