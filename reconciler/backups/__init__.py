"""A home in one file, and back: made while everything runs, believed only after it was read back."""
