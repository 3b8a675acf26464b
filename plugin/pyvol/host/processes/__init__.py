"""Child processes, file descriptors, and this process's limits."""
