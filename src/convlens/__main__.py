"""`python -m convlens` is the command `convlens`."""

from convlens.cli.main import main

if __name__ == "__main__":
    main()
