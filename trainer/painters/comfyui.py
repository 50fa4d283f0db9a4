"""Draws through a running ComfyUI server, with a workflow exported in the API format (see workflow.py)."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from PIL import Image as Pillow

from emoticrafter.web import proxies
from trainer.core.pictures import decode
from trainer.core.rows import DataError
from trainer.painters.plan import Task
from trainer.painters.settings import ComfyuiSettings
from trainer.painters.workflow import filled, read_workflow

POLL_SECONDS = 0.3
ANSWER_BYTES = 200_000_000


class ComfyuiPainter:
    """A server; it draws one picture at a time."""

    def __init__(self, settings: ComfyuiSettings):
        """
        Raises:
            DataError: The workflow cannot be used, or nobody answers there.
        """
        if urlsplit(settings.server).scheme not in ("http", "https"):
            raise DataError(f"--server {settings.server}: expected an address such as http://127.0.0.1:8188.")
        self.settings, self.server = settings, settings.server.rstrip("/")
        self.workflow = read_workflow(settings.workflow, settings.plain)
        self._opener = urllib.request.build_opener(proxies(settings.server))
        self._ask("/system_stats")

    def draw(self, tasks: Sequence[Task]) -> list[Pillow.Image]:
        return [self._draw_one(task) for task in tasks]

    def _draw_one(self, task: Task) -> Pillow.Image:
        body = json.dumps({"prompt": filled(self.workflow, task, self.settings.plain)}).encode()
        queued = json.loads(self._ask("/prompt", body))
        image = self._wait(queued["prompt_id"])
        where = {name: image.get(name, "") for name in ("filename", "subfolder", "type")}
        return Pillow.fromarray(decode(self._ask("/view?" + urlencode(where))))

    def _wait(self, prompt_id: str) -> dict:
        """The first image that a prompt saved; a preview, if it saved none."""
        end = time.monotonic() + self.settings.timeout
        while time.monotonic() < end:
            history = json.loads(self._ask(f"/history/{prompt_id}")).get(prompt_id)
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
                    f"The node {detail.get('node_type')} ({detail.get('node_id')}) failed: "
                    f"{str(detail.get('exception_message', '')).strip()[:500]}"
                )
        if status.get("status_str") == "error":
            raise DataError("The server could not run the workflow: see its log.")

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.server + path, body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with self._opener.open(request, timeout=self.settings.timeout) as response:
                return response.read(ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            text = error.read(4000).decode("utf-8", "replace")
            raise DataError(f"{self.server} refused the workflow (HTTP {error.code}): {text[:1000]}") from error
        except OSError as error:
            raise DataError(f"{self.server} does not answer ({error}): is ComfyUI running there?") from error
