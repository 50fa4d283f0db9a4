"""Painters: plan, draw and keep the evaluation's pictures, with SDXL, ComfyUI or the miniature."""
