"""One file a topic, each with its `router`; `app.py` puts them together."""
