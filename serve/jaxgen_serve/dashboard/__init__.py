"""The Streamlit dashboard: train, compare, sample and explore in a browser. Training runs in separate processes."""
