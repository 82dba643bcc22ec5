"""Who hardens."""
