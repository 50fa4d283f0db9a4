"""Run ComfyUI's main.py, and end when the process that started this one is gone.

    python scripts/launch_comfyui.py <ComfyUI>/main.py <its arguments>

Started by scripts/server.py, which holds the other end of standard input: it closes with that process, however
that process ended, so no server is left behind.
"""

import os
import runpy
import sys
import threading
from pathlib import Path


def end_with_parent() -> None:
    while os.read(0, 1024):  # not through sys.stdin, whose lock would trouble a normal end
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
