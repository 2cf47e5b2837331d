"""The folder of a training run, as training writes it and as export and the dashboard read it; no JAX."""
