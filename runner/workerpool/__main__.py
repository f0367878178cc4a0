"""``python -m workerpool`` is the ``workerpool`` command."""

from workerpool.cli.main import main

if __name__ == "__main__":
    main()
