"""Tests of NFS on a real kernel: they run in a guest, which has a server and hosts of its own."""
