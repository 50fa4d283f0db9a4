"""Draws through a running ComfyUI server, with a workflow exported in the API format.

In the workflow, {prompt} stands where the prompt belongs. Valence and arousal go into every EmotiCrafter node that has
both as values, the seed into every sampler.
"""

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from PIL import Image as Pillow

from emoticrafter.language.chat import proxies
from trainer.core.pictures import text_sha256
from trainer.core.rows import DataError, read_utf8
from trainer.painters.plan import Task

if TYPE_CHECKING:
    from trainer.painters.settings import ComfyuiSettings

PLACE = "{prompt}"
SEEDS = ("seed", "noise_seed")
POLL_SECONDS = 0.3
ANSWER_BYTES = 200_000_000


def read_workflow(path: Path, plain: bool) -> dict:
    """A workflow in the API format that has a place for everything.

    Raises:
        DataError: Another format, or no place for the prompt, the seed or the emotion.
    """
    try:
        workflow = json.loads(read_utf8(path))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if isinstance(workflow, dict) and "nodes" in workflow and "links" in workflow:
        raise DataError(
            f"{path} was saved with Workflow > Save, for the interface. Open it in ComfyUI, write {PLACE} where the "
            "prompt belongs, and save it with Workflow > Export (API)."
        )
    nodes = workflow.values() if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in nodes):
        raise DataError(f"{path} is not a ComfyUI workflow: expected what Workflow > Export (API) saves.")
    inputs = [node["inputs"] for node in nodes]
    if not any(isinstance(value, str) and PLACE in value for one in inputs for value in one.values()):
        raise DataError(f"{path} has no place for the prompt: write {PLACE} in the text of CLIP Text Encode.")
    if not any(isinstance(one.get(name), int) for one in inputs for name in SEEDS):
        raise DataError(f"{path} has no sampler with a seed of its own.")
    if not plain and not any(_is_emotional(one) for one in inputs):
        raise DataError(
            f"{path} has no EmotiCrafter node with valence and arousal as values (not as links). Add Emotional "
            "Conditioning, or give --plain for the prompts without emotion."
        )
    return workflow


def fingerprint(workflow: dict) -> str:
    return text_sha256(json.dumps(workflow, sort_keys=True))[:16]


def _is_emotional(inputs: dict) -> bool:
    return all(isinstance(inputs.get(axis), int | float) for axis in ("valence", "arousal"))


def filled(workflow: dict, task: Task, plain: bool) -> dict:
    """The workflow with a task in it; with `plain` the emotion's strength is 0, which changes nothing."""
    changed = {}
    for name, node in workflow.items():
        inputs = dict(node["inputs"])
        for key, value in inputs.items():
            if isinstance(value, str):
                inputs[key] = value.replace(PLACE, task.text)
            elif key in SEEDS and isinstance(value, int):
                inputs[key] = task.seed
        if _is_emotional(inputs):
            inputs |= {"valence": task.valence, "arousal": task.arousal}
        if plain and str(node.get("class_type", "")).startswith("EmotiCrafter") and "strength" in inputs:
            inputs["strength"] = 0.0
        changed[name] = {**node, "inputs": inputs}
    return changed


class ComfyuiPainter:
    """A server; it draws one picture at a time."""

    def __init__(self, settings: "ComfyuiSettings"):
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
        found = Pillow.open(io.BytesIO(self._ask("/view?" + urlencode(where))))
        return found.convert("RGB")

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
