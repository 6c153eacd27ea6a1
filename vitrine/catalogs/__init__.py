"""Where products come from: catalogue folders, and the demo's."""
