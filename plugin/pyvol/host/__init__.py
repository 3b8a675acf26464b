"""The operating system: durable files, trees, mounts, accounts. Knows nothing of Docker or of volumes."""
