"""The protocols that the core needs of the packages above it."""
