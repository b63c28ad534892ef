"""A network opened up: activations, attribution, filters, trust checks."""
