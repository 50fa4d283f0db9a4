"""Drawing the evaluation's pictures with SDXL, ComfyUI or the miniature."""
