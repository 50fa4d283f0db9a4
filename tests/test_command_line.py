"""trainer/command_line.py: a command's status, and what it says when it cannot go on."""

import pytest

from trainer.command_line import TrainingError, status_of
from trainer.rows import DataError


def raising(error: BaseException):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("pairs.csv: row 3 is odd"), "error: pairs.csv: row 3 is odd\n"),
        (TrainingError("runs/a is another run's"), "error: runs/a is another run's\n"),
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device\n"),
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


def test_an_interruption_says_how_to_go_on(capsys):
    assert status_of(raising(KeyboardInterrupt()), "train") == 130
    assert capsys.readouterr().err == "\ninterrupted; run the same command again to go on\n"


def test_an_interruption_may_say_more_itself(capsys):
    assert status_of(raising(KeyboardInterrupt("Stopped at step 4.")), "train") == 130
    assert capsys.readouterr().err == "\nStopped at step 4.\n"


@pytest.mark.parametrize(("given", "status"), [(None, 0), (0, 0), (3, 3)])
def test_a_command_s_own_status_stays(given, status):
    assert status_of(lambda: given, "train") == status


def test_an_error_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        status_of(lambda: 1 / 0, "train")
