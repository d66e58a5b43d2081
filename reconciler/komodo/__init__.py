"""Komodo's words: stack files, compose files, requests beside them, and what Komodo answers. Nothing here writes."""
