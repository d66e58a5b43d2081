"""Certificates that are served: how to see one, what it says of itself, and when it ends."""
