"""Doors for what other libraries have to tell; each is a module of its own, imported by whoever wants it.

``tracehouse.integrations.logs``: a handler for Python's ``logging``.
``tracehouse.integrations.transformers``: a callback for Hugging Face's ``Trainer``, which must be installed.
"""
