"""HTTP and JSON; nothing of disks."""
