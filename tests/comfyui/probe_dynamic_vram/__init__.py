"""Switches DynamicVRAM on as far as a processor can have it: ComfyUI's layers load as they do on an NVIDIA card."""

import comfy.memory_management
import comfy.model_patcher

comfy.memory_management.aimdo_enabled = True
comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic

NODE_CLASS_MAPPINGS = {}
