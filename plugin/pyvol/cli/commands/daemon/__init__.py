"""Commands about the daemon and its settings."""
