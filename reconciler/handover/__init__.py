"""A hand-written directory becomes ours, and theirs again, without a change on the wire."""
