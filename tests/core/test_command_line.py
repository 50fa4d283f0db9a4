"""trainer/command_line.py: a command's status, and what it says when it cannot go on."""

import importlib
import os
import signal
import subprocess
import sys

import pytest

from trainer.core.command_line import TrainingError, held_back, status_of
from trainer.core.rows import DataError


def raising(error: BaseException):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("pairs.csv: row 3 is odd"), "error: pairs.csv: row 3 is odd\n"),
        (TrainingError("runs/a is another run's"), "error: runs/a is another run's\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (OSError(28, "No space left on device", "runs/a"), "error: runs/a: No space left on device\n"),
        (LookupError("the model is gone"), "error: the model is gone\n"),
        (
            ModuleNotFoundError("No module named 'tqdm'"),
            "error: No module named 'tqdm'. Install what it needs: pip install -e '.[train,eval]'\n",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_1(capsys, error, message):
    assert status_of(raising(error), "train,eval", LookupError) == 1
    assert capsys.readouterr().err == message


def test_a_package_that_cannot_be_imported_is_named(capsys, tmp_path, monkeypatch):
    def command():
        importlib.import_module("broken_plots")

    for line, told in (
        (
            "raise TypeError('expected\\nmore')",
            "error: the package broken_plots cannot be used here (TypeError: expected). ",
        ),
        (
            "raise ImportError('numpy.core.multiarray failed to import')",
            "error: numpy.core.multiarray failed to import. ",
        ),
        ("import nothing_like_it", "error: No module named 'nothing_like_it'. Install what it needs: pip install -e "),
    ):
        (tmp_path / "broken_plots.py").write_text(line)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        assert status_of(command, "train") == 1
        assert (said := capsys.readouterr().err).startswith(told) and said.count("\n") == 1
    with pytest.raises(TypeError):  # a mistake of ours is not hidden
        status_of(raising(TypeError("ours")), "train")


NOISY = """
import warnings
from trainer.core.command_line import status_of
def command():
    import diffusers, transformers
    from diffusers.utils import deprecate, logging
    deprecate("dtype", "9.9.9", "Use another.")
    logging.get_logger("diffusers.models").warning("some keys were not used")
    transformers.logging.get_logger("transformers.modeling").warning("some weights were newly initialized")
    warnings.warn("this package will change", FutureWarning)
raise SystemExit(status_of(command, "train"))
"""


@pytest.mark.slow
def test_what_model_libraries_tell_their_developers_is_not_printed():
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_interruption_says_how_to_go_on_or_more(capsys):
    for more, said in (("", "interrupted; run the same command again to go on"), ("At step 4.", "At step 4.")):
        assert status_of(raising(KeyboardInterrupt(more)), "train") == 130
        assert capsys.readouterr().err == f"\n{said}\n"


def test_a_command_s_own_status_stays_and_an_error_of_ours_keeps_its_traceback():
    assert [status_of(lambda given=given: given, "train") for given in (None, 0, 3)] == [0, 0, 3]
    with pytest.raises(ZeroDivisionError):
        status_of(lambda: 1 / 0, "train")


def test_sigterm_ends_a_command_like_control_c(capsys):
    cleaned = []

    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert status_of(command, "train") == 130
    assert cleaned and "run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interruption_is_held_back_and_a_second_one_is_not(capfd, interruptible):
    steps = []
    with pytest.raises(KeyboardInterrupt), held_back() as came:
        for step in range(3):
            interrupt()
            steps.append((step, len(came)))
    assert steps == [(0, 1)]
    assert "interrupt again to stop at once" in capfd.readouterr().err


def test_an_interruption_that_nobody_saw_any_more_is_not_lost(interruptible):
    with pytest.raises(KeyboardInterrupt), held_back():
        interrupt()


def test_signals_that_are_to_be_ignored_stay_so():
    """As in a background job of a script, or under nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back() as came:
            interrupt()
        assert not came
    finally:
        signal.signal(signal.SIGINT, before)
