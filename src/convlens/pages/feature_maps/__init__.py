"""The feature-map page: what is encoded in Python, and assets/ that show it."""
