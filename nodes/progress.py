"""A node while it works: its bar, a line with the time left, a preview, and the end of it when the user says so."""

import time

import comfy.model_management
import comfy.utils
from PIL import Image
from server import PromptServer


class Shown:
    """Shows on a node how far it is.

    Args:
        node_id: The node's.
        what: Is counted, in the plural.
        done: Of it before this run.
        total: Of it in all.
    """

    def __init__(self, node_id: str, what: str, done: int, total: int):
        self._node_id, self._what, self._first = node_id, what, done
        self._bar = comfy.utils.ProgressBar(total, node_id=node_id)
        self._began, self._last = time.monotonic(), 0.0

    def advance(self, done: float, total: int | None = None, picture: Image.Image | None = None) -> None:
        """Tells how far it is; stops here if the user asked for it."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        preview = None if picture is None else ("PNG", picture, picture.width)
        self._bar.update_absolute(done, total, preview)
        if now - self._last > 1:
            self._last = now
            left = (now - self._began) / (done - self._first) * (self._bar.total - done)
            self.say(f"{int(done):,} of {self._bar.total:,} {self._what}, {_duration(left)} left")

    def say(self, text: str) -> None:
        PromptServer.instance.send_progress_text(text, self._node_id)


def _duration(seconds: float) -> str:
    """ "40 s", "3 min" or "1 h 20 min": as fine as an estimate is worth."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
