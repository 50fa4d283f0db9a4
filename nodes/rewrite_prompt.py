"""Rewrite Prompt for Emotion."""

import logging
import os
from pathlib import Path

import comfy.model_management as management
import folder_paths
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoticrafter.language.rewriting import RewriteError, chat_settings, rewrite_prompt
from .inputs import CATEGORY, arousal_input, searched_as, valence_input
from .node import Node

log = logging.getLogger("emoticrafter")

# How many questions failed. ComfyUI caches the result of a failed run, too; with this in the fingerprint the next run
# asks again. Answers that did come are on disk.
_failures = 0


class RewritePrompt(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterRewrite",
            display_name="Rewrite Prompt for Emotion",
            category=CATEGORY,
            **searched_as("language model", "LLM", "Ollama"),
            description="Has a language model rewrite a prompt for an emotion, to compare with Emotional "
            "Conditioning. Any server that speaks OpenAI's chat completions will do, such as Ollama on this "
            "computer; until you name one, nothing is sent anywhere.",
            inputs=[
                io.String.Input(
                    "text", multiline=True, default="", tooltip="The prompt to rewrite, up to 4000 characters."
                ),
                valence_input(),
                arousal_input(),
                io.String.Input(
                    "base_url",
                    default="",
                    tooltip="A server on this computer, up to /v1, such as http://127.0.0.1:11434/v1. Empty: the "
                    "address in the variable EMOTICRAFTER_CHAT_URL, the only address that gets the key in "
                    "EMOTICRAFTER_CHAT_KEY.",
                ),
                io.String.Input(
                    "model",
                    default="",
                    tooltip="The model's name on that server. Empty: the one in EMOTICRAFTER_CHAT_MODEL.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,  # each run would ask, and cost, again
                    tooltip="Another number asks for another version; the same number gives the same text. 0 sends "
                    "no seed, for servers that do not take one.",
                ),
                io.Int.Input(
                    "timeout",
                    default=60,
                    min=1,
                    max=600,
                    tooltip="Seconds to wait for the answer. Cancel ends the wait at once.",
                ),
            ],
            outputs=[io.String.Output(display_name="prompt", tooltip="The rewritten prompt, for CLIP Text Encode.")],
        )

    @classmethod
    def validate_inputs(cls, base_url: str | None = None) -> bool | str:
        """Checks the address alone: ComfyUI blames every input that is named here, whichever is wrong."""
        if base_url is None:  # linked, so known only when it runs
            return True
        try:
            chat_settings(base_url, "any", 1, os.environ)  # the model is checked by the run
        except RewriteError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return str(_failures)

    @classmethod
    def execute(
        cls, text: str, valence: float, arousal: float, base_url: str, model: str, seed: int, timeout: int
    ) -> io.NodeOutput:
        answers = Path(folder_paths.get_user_directory()) / "emoticrafter" / "rewrites"
        check = management.throw_exception_if_processing_interrupted
        try:
            settings = chat_settings(base_url, model, timeout, os.environ)
            return io.NodeOutput(rewrite_prompt(text, valence, arousal, settings, seed, answers, check))
        except RewriteError as error:
            return _blocked(f"Rewrite Prompt for Emotion: {error}")


def _blocked(message: str) -> io.NodeOutput:
    """Stops whatever depends on the prompt, and nothing else: the pictures to compare it with are still drawn.

    ComfyUI shows the message on the later nodes, and only in the browser; so it goes into the log and the history,
    too.
    """
    global _failures
    _failures += 1
    log.warning("[EmotiCrafter] %s", message)
    return io.NodeOutput(ExecutionBlocker(message), ui=ui.PreviewText(message))
