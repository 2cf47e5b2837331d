"""The dashboard: train, compare, draw and explore in a browser, by Streamlit. Training runs in processes of its own."""
