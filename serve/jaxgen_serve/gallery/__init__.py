"""Images that are kept: files on disk and their database."""
