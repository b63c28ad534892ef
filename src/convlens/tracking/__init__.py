"""MLflow lives here, and nowhere else: runs, packaging, registry, gate."""
