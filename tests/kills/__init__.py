"""Runs that are killed at each of their moments, and what is checked after each kill."""
