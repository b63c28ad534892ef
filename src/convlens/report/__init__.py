"""Pictures and pages from plain values: figures, templates, assets."""
