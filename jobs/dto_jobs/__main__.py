"""The command `dto`."""

from dto_jobs.cli.app import main

if __name__ == "__main__":
    main()
