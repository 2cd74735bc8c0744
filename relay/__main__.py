"""``order-relay``, or ``python -m relay``."""

from relay.cli import app


def main() -> None:
    """The command line."""
    app()


if __name__ == "__main__":
    main()
