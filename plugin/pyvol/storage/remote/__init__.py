"""Remote servers, and the messages that worker processes take."""
