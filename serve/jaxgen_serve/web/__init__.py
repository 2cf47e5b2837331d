"""The static site, and what its page takes from npm."""
