"""Who perturbs: threat model x objective x optimiser."""
