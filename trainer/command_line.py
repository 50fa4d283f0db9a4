"""How the trainer's commands end: with a status, and with mistakes told in one line."""

import sys
from collections.abc import Callable

INTERRUPTED = 130
"""The status of a command that was interrupted, as shells have it: 128 + SIGINT."""


class TrainingError(Exception):
    """A run cannot start or go on; the text says why and what to do."""


def status_of(command: Callable[[], int | None], extras: str, *mistakes: type[Exception]) -> int:
    """Runs a command; everything that a user can put right is said in a line, without a traceback.

    Args:
        command: What to run; it gives a status, or None for 0.
        extras: What pip has to install for it, such as "train" or "train,miniature".
        mistakes: Errors whose texts are for the user, besides ValueError, OSError and TrainingError.

    Returns:
        The exit status: the command's own, 1 after an error, 130 after an interruption.
    """
    try:
        return command() or 0
    except ModuleNotFoundError as error:
        print(f"error: {error}. Install what it needs: pip install -e '.[{extras}]'", file=sys.stderr)
    except (ValueError, OSError, TrainingError, *mistakes) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt as error:
        print(f"\n{str(error) or 'interrupted; run the same command again to go on'}", file=sys.stderr)
        return INTERRUPTED
    return 1
