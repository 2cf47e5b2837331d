"""One file a runtime, each with `load(data, path, *, threads, spin, provider)`, which gives a `Session`."""
