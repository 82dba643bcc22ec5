"""Is the robustness real: checks for masked gradients and other ways in which an attack fails."""
