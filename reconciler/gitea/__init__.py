"""Gitea and Forgejo: where people review proposals, and what calls us when something was merged."""
