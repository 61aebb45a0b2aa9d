"""The command `kubectl-dto`, which kubectl finds as `kubectl dto`."""

from dto_operator.plugin.app import main

if __name__ == "__main__":
    main()
