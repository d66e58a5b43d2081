"""Telling people: where messages go, how they get there, and the sign of life."""
