"""Tests of pyvol as a managed plugin, from the installation to the removal."""
