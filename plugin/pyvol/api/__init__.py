"""HTTP and JSON: Docker's protocol, and pyvol's own control API. Knows nothing of disks."""
