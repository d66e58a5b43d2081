"""Faces: what a model may see and propose. Reaches no target, no loop and no writer of the log."""
