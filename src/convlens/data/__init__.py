"""From a source to arrays: listing, decoding, checks, near-duplicates, split, and the synthetic data set."""
