"""One module per runtime, each with `load(data, path, *, threads, spin, provider)`, which returns a `Session`."""
