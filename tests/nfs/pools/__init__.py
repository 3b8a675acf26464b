"""A pool on an export; the tests share a guest."""
