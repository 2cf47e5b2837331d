"""Training: losses, the optimiser step, the loop, checkpoints and reports."""
