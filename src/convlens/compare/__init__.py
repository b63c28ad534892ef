"""Two runs: what differs, and the verdict."""
