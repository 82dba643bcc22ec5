"""Who predicts."""
