"""Tests of a pool on an export; they share a guest."""
