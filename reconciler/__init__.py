"""Verbs: look, decide, act, record. `core` decides and is pure; the rest is its thin shell."""
