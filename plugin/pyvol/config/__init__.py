"""The settings, and the pools that they name."""
