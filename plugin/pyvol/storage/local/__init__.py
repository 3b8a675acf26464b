"""Pools in directories of this host."""
