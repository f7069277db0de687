"""Doors: one file a wire dialect or carrier."""
