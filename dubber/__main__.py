"""`python -m dubber`."""

from dubber.cli.app import main

if __name__ == "__main__":
    main()
