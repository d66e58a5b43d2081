"""Nouns and facts: what Waypost knows. Imports nothing else of ours."""
