"""From files to arrays: sources, the painted data set, decoding, scan, expectations, duplicates, split."""
