"""Traefik as values: its configuration, its rules, what it would take, and its read-only interface."""
