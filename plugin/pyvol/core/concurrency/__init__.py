"""Locks, bulkheads and circuit breakers: no volume waits for another."""
