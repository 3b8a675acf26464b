"""This machine: its identity, users and systemd; and a ping for NFS servers."""
