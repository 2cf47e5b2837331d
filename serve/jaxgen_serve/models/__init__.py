"""The models that a server knows: registry, description, and a sandbox to try strangers' files in."""
