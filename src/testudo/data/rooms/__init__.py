"""Rendered rooms: what stands in them, what a camera sees of it, and its exact labels."""
