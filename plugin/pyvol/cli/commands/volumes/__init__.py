"""Commands about volumes."""
