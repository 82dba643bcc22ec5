"""One file per training method: batch -> named loss terms."""
