"""Tests in a guest: a kernel of their own, over this machine's files."""
