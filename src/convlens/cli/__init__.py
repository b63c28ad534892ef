"""The `convlens` command: arguments, calls, and what is printed."""
