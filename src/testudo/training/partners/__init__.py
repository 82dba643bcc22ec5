"""What changes a training batch before the method sees it."""
