"""EmotiCrafter for ComfyUI: nodes that give a prompt a continuous emotion (valence and arousal)."""

from pathlib import Path

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import EmotiCrafterExtension
    from .nodes.notices import warn_of_folder

    warn_of_folder(Path(__file__).parent)  # as ComfyUI names it, links not followed
    return EmotiCrafterExtension()
