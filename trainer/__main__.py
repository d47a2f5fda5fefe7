"""`python -m trainer`: train without the application, or under torchrun. `mmvatool train` is this command."""

import sys

from trainer.commands.train import train
from trainer.errors import TrainerError


def main() -> None:
    """Run the command; an error is one line on stderr and exit status 1."""
    try:
        train()
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
