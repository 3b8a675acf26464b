"""The types: a volume, its options, its labels. Imports nothing but errors."""
