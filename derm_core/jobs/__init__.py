"""Runs: a SQLite store, a supervisor, and detached workers."""
