"""The machine: its identity, users, systemd, and NFS servers that answer a ping."""
