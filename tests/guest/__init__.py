"""Tests in a guest: a separate kernel that uses this machine's files."""
