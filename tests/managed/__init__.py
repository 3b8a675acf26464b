"""pyvol as a managed plugin: its life under an engine, from the registry to the removal."""
