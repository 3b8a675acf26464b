"""Tests of NFS on a real kernel: they run in a guest, which has its own NFS server and hosts."""
