"""Loads the pack as ComfyUI does, and prints as JSON what that changed in the process.

Started by test_pack.py with ComfyUI's Python, in ComfyUI's folder: comfyui_import.py PACK BASE_DIRECTORY
"""

import asyncio
import contextlib
import importlib.util
import io
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
pack, base = sys.argv[1:]
sys.argv[1:] = ["--cpu", "--base-directory", base]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import torch  # noqa: E402
import utils.extra_config  # noqa: E402, F401 - as main.py does, before another `utils` comes onto the path

for name in ("execution", "nodes", "server"):  # what main.py has imported by the time it loads custom nodes
    importlib.import_module(name)


def settings() -> dict:
    """What a pack must leave as it is."""
    return {
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "random": torch.get_rng_state().sum().item(),
        "precision": torch.get_float32_matmul_precision(),
        "level": logging.getLogger().level,
        "handlers": len(logging.getLogger().handlers),
        "path": sys.path[:],
    }


async def load():
    """Imports the pack under its path, as ComfyUI does, and gives the module and its nodes' schemas."""
    spec = importlib.util.spec_from_file_location(pack, Path(pack) / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[pack] = module
    spec.loader.exec_module(module)
    extension = await module.comfy_entrypoint()
    return module, [node.GET_SCHEMA() for node in await extension.get_node_list()]


opened = []
before, modules, printed = settings(), set(sys.modules), io.StringIO()
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    module, schemas = asyncio.run(load())
result = {
    "nodes": [schema.node_id for schema in schemas],
    "unnamed": [  # newer versions take the id for a display name that is not given
        (schema.node_id, output.tooltip)
        for schema in schemas
        for output in schema.outputs
        if output.display_name in (None, output.id)
    ],
    "v1": hasattr(module, "NODE_CLASS_MAPPINGS"),
    "changed": [key for key, value in settings().items() if value != before[key]],
    "printed": printed.getvalue(),
    "modules": sorted(set(sys.modules) - modules),
    "models_opened": [path for path in opened if path.startswith(str(Path(base) / "models"))],
}
print(json.dumps(result))
