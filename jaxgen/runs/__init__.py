"""The folders of training runs: written by training, read by export and the dashboard, without JAX."""
