"""`python -m benchmarks.rabbitmq`."""

from benchmarks.rabbitmq.command import main

if __name__ == "__main__":
    main()
