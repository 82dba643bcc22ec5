"""Who shows: reads result rows only."""
