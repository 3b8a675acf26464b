"""pyvol behind real engines: a private dockerd of each version, Podman, and what they say to the plugin."""
