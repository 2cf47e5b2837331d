"""The static site, and the npm packages of its page."""
