"""What pyvol reports about volumes: status, health, usage, metrics, events."""
