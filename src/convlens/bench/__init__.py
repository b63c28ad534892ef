"""Measurements against what one would write instead: `convlens bench train` and `convlens bench data`."""
