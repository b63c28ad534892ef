"""`python -m convlens` is the command `convlens`."""

from convlens.cli.main import main

main()
