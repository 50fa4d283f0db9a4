"""The EmotiCrafter trainer: from valence-arousal data to weights that the ComfyUI nodes load.

Run as commands: ``python -m trainer.prepare``, ``python -m trainer.train``, ``python -m trainer.report``.
It imports ``emoticrafter`` and nothing of ComfyUI.
"""
