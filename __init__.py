"""EmotiCrafter for ComfyUI: nodes that give a prompt a continuous emotion (valence and arousal)."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import EmotiCrafterExtension

    return EmotiCrafterExtension()
