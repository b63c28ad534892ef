"""Measurements: ConvLens beside what one would write instead, and how good a recipe is (`convlens bench`)."""
