"""Training: losses, the step, the loop, checkpoints and what a run reports."""
