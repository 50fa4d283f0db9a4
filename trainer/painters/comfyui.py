"""Draws through a running ComfyUI server, with a workflow exported in the API format (see workflow.py)."""

import json
import time
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from PIL import Image as Pillow

from emoticrafter.quoting import shown
from emoticrafter.web import NoReplyError, Request, is_address
from trainer.core.pictures import decode
from trainer.core.rows import DataError
from trainer.painters.plan import Task
from trainer.painters.settings import ComfyuiSettings
from trainer.painters.workflow import filled, read_workflow

POLL_SECONDS = 0.3
SILENCE_S = 60
ANSWER_BYTES = 200_000_000


class ComfyuiPainter:
    """A server; it draws one picture at a time."""

    def __init__(self, settings: ComfyuiSettings):
        """
        Raises:
            DataError: The workflow cannot be used, or nobody answers there.
        """
        if not is_address(settings.server):
            raise DataError("--server: expected an address such as http://127.0.0.1:8188.")
        self.settings, self.server = settings, settings.server.rstrip("/")
        self.workflow = read_workflow(settings.workflow, settings.plain, settings.network)
        self._ask("/system_stats")

    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        return [self._draw_one(task) for task in tasks]

    def _draw_one(self, task: Task) -> Pillow.Image:
        body = json.dumps({"prompt": filled(self.workflow, task, self.settings.plain)}).encode()
        prompt_id = self._object("/prompt", body).get("prompt_id")
        if not isinstance(prompt_id, str):
            raise self._unlike("/prompt")
        try:
            image = self._wait(prompt_id)
        except DataError:
            raise
        except (TypeError, AttributeError, ValueError) as error:  # what is not built as its history is
            raise self._unlike("/history") from error
        where = {name: image.get(name, "") for name in ("filename", "subfolder", "type")}
        return Pillow.fromarray(decode(self._ask("/view?" + urlencode(where))))

    def _wait(self, prompt_id: str) -> dict:
        """The first image that a prompt saved; a preview, if it saved none."""
        end = time.monotonic() + self.settings.timeout
        while time.monotonic() < end:
            history = self._object(f"/history/{quote(prompt_id, safe='')}").get(prompt_id)
            if history:
                self._check(history.get("status", {}))
                outputs = history.get("outputs", {}).values()
                images = [image for output in outputs for image in output.get("images") or []]
                saved = [image for image in images if image.get("type") == "output"]
                if images:
                    return (saved or images)[0]
                raise DataError("The workflow saved no image: it needs a Save Image node.")
            time.sleep(POLL_SECONDS)
        raise DataError(
            f"{self.server} made no picture within {self.settings.timeout:g} s: see its log, or give --timeout."
        )

    @staticmethod
    def _check(status: dict) -> None:
        for kind, detail in status.get("messages", []):
            if kind == "execution_error":
                raise DataError(
                    f"The node {shown(str(detail.get('node_type')))} ({shown(str(detail.get('node_id')))}) failed: "
                    f"{shown(str(detail.get('exception_message', '')).strip(), 500)}"
                )
        if status.get("status_str") == "error":
            raise DataError("The server could not run the workflow: see its log.")

    def _object(self, path: str, body: bytes | None = None) -> dict:
        answer = self._ask(path, body)
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._unlike(path)
        return found

    def _unlike(self, path: str) -> DataError:
        return DataError(f"{self.server} answers {shown(path)} unlike ComfyUI: is another program running there?")

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = Request(self.server + path, body, {"Content-Type": "application/json"}, SILENCE_S, ANSWER_BYTES)
        try:
            reply = request.send(self.settings.timeout)
        except NoReplyError as error:
            raise DataError(
                f"{self.server} does not answer ({shown(str(error), 300)}): is ComfyUI running there?"
            ) from error
        if reply.status != 200 or not reply.whole:
            text = shown(" ".join(reply.body[:4000].decode("utf-8", "replace").split()), 1000)
            raise DataError(f"{self.server} refused the workflow (HTTP {reply.status}): {text}")
        return reply.body
