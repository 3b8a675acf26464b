"""Durable writes, directories, and trees of files."""
