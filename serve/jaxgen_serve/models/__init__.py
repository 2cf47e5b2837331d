"""The models of a server: registry, description, and a sandbox for untrusted files."""
