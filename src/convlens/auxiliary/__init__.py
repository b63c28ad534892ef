"""Auxiliary networks, trained beside the run's own and under no training key: the dense baseline, and one per fold."""
