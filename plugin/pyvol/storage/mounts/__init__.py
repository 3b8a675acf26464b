"""The mounts of mounted volumes."""
