"""``python -m arielflow.cli``."""

from arielflow.cli import main

if __name__ == "__main__":
    main()
