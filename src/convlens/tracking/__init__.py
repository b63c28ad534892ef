"""MLflow, and nowhere else: runs, models, registry, gate."""
