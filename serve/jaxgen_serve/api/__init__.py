"""The API's routes: one module per topic, each with a `router` that `app.py` includes."""
