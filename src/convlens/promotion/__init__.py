"""The champion in people's hands: `convlens promote`, `convlens rollback` and `convlens history`."""
