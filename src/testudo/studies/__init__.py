"""Who compares."""
