"""ComfyUI's interface in Chromium: a package, so that its tests share servers and pages that end with it."""
