"""From a source to arrays: listing, decoding, checks, near-duplicates, split, and the painted data set."""
