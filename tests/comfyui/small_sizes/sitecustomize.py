"""Has ComfyUI build its text encoders at the small sizes that SMALL_ENCODERS names, where this folder is on PYTHONPATH.

ComfyUI tells encoders apart by the names in their files, and has one size for each: its own loader takes small files
only with this.
"""

import importlib.abc
import importlib.util
import json
import os
import sys


class SmallSizes(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "comfy.sd":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_shrink(module):
            run(module)
            build = module.CLIP.__init__

            def small(clip, *arguments, model_options=None, **options):
                given = dict(model_options or {})
                for name, sizes in SIZES.items():  # CLIP's number of positions is among them already
                    given[name] = {**sizes, **given.get(name, {})}
                build(clip, *arguments, model_options=given, **options)

            module.CLIP.__init__ = small

        spec.loader.exec_module = run_and_shrink
        return spec


if "SMALL_ENCODERS" in os.environ:
    SIZES = json.loads(os.environ["SMALL_ENCODERS"])
    sys.meta_path.insert(0, SmallSizes())
