"""The pages people read: one Jinja environment for all of them."""
