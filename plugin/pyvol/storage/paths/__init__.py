"""Directories of the host: which ones a volume may use, and what the engine calls them."""
