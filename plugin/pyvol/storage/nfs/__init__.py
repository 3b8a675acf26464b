"""Pools on NFS exports."""
