"""The end of every command: an exit status, mistakes in one line, and nothing lost to Ctrl-C."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator

from emoticrafter.quoting import printable, shorten, shown

LONGEST_ERROR = 20_000
INTERRUPTED = 130
"""The status of a command that was interrupted, as shells have it: 128 + SIGINT."""


class TrainingError(Exception):
    """A run cannot start or go on; the text says why and what to do."""


TERMINATIONS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""`kill`, containers and schedulers send the first, a terminal that closes the second (not on Windows)."""


class Terminated(KeyboardInterrupt):
    """An interruption by one of TERMINATIONS, in place of Ctrl-C."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = signal.Signals(number)


def say(text: str) -> None:
    """Prints at once, also into a pipe; what a file says cannot steer the terminal."""
    print(printable(text), flush=True)


def say_error(text: str) -> None:
    print(f"error: {shorten(text, LONGEST_ERROR)}", file=sys.stderr)


def key_from(variable: str | None) -> str:
    """The key of a server in this environment variable; empty without one.

    Raises:
        ValueError: It is not set.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key:
        raise ValueError(f"The environment variable {variable} is not set: export {variable}=... first.")
    return key


def status_of(command: Callable[[], int | None], extras: str, *mistakes: type[Exception]) -> int:
    """Runs a command; a mistake that the user can correct is one line, without a traceback.

    SIGTERM and SIGHUP end it like Ctrl-C: processes and half-written files that belong to it do not outlive it.

    Args:
        command: What to run; it gives a status, or None for 0.
        extras: What pip has to install for it, such as "train" or "train,miniature".
        mistakes: Errors whose texts are for the user, besides ValueError, OSError and TrainingError.

    Returns:
        The exit status: the command's own, 1 after an error, 130 after an interruption.
    """
    try:
        with _handled(_terminate, *TERMINATIONS), _without_notes():
            return command() or 0
    except ImportError as error:
        print(f"error: {reason(error)}. Install what it needs: pip install -e '.[{extras}]'", file=sys.stderr)
    except (ValueError, OSError, TrainingError, *mistakes) as error:
        say_error(_text_of(error))
    except KeyboardInterrupt as error:
        print(f"\n{str(error) or 'interrupted; run the same command again to go on'}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not (package := _being_imported(error)):
            raise
        again = f"Install it again: pip install --force-reinstall {package}"
        print(f"error: the package {package} cannot be used here ({reason(error)}). {again}", file=sys.stderr)
    return 1


def _being_imported(error: Exception) -> str:
    """The package of others whose import raised an error, or ""."""
    ours = ("__main__", "emoticrafter", "trainer")
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if frame.f_code.co_name == "<module>" and package not in ours:
            return package
    return ""


def reason(error: Exception) -> str:
    """An error in one short line."""
    text = str(error).strip().partition("\n")[0]
    return shown(text if isinstance(error, ImportError) and text else f"{type(error).__name__}: {text}", 200)


def _text_of(error: Exception) -> str:
    """An error's text; the system's errors as file and reason, without their number."""
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keeps what model libraries tell their developers out of a command's output.

    What a user set stays: python -W, DIFFUSERS_VERBOSITY, TRANSFORMERS_VERBOSITY.
    """
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")  # read when it is loaded
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", module=r"(diffusers|transformers|huggingface_hub|torch|torchvision)\b")
        yield


def quiet() -> None:
    """Keeps diffusers and transformers from showing the progress of every file they read, which would bury ours."""
    import diffusers
    import transformers

    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    transformers.logging.disable_progress_bar()


@contextlib.contextmanager
def held_back(echo: float = 0.0, quietly: bool = False) -> Iterator[list[KeyboardInterrupt]]:
    """Holds Ctrl-C, SIGTERM and SIGHUP back until a step is done, so that no checkpoint holds half a step.

    The body looks for the first one between its steps, saves and ends. A second one interrupts at once. One that
    comes after the body last looked interrupts when the body ends.

    Args:
        echo: Seconds in which a second one is taken for the first, sent again by torchrun or a scheduler.
        quietly: Says nothing, because another process does.

    Yields:
        The interruptions that have come, to be raised.
    """
    came: list[KeyboardInterrupt] = []
    first = time.monotonic()

    def note(number, frame):
        nonlocal first
        if came and time.monotonic() - first < echo:
            return
        came.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated(number))
        if len(came) > 1:
            raise came[-1]
        first = time.monotonic()
        if not quietly:  # not by print, which may be what was just interrupted
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, b"\nSaving after this step; interrupt again to stop at once.\n")

    with _handled(note, signal.SIGINT, *TERMINATIONS):
        yield came
    if came:
        raise came[0]


def _terminate(number, frame):
    raise Terminated(number)


@contextlib.contextmanager
def _handled(handler: Callable, *numbers: int) -> Iterator[None]:
    """Handles signals, but for those that are to be ignored (as nohup has it); only the main thread can."""
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
