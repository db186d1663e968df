"""The rows of ``scripts/torture``: each module has a TITLE, a COUNT of points, and ``run(trial)``."""
