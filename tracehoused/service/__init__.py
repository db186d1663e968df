"""The agent in the background: ``daemon`` is the process, ``agent`` decides whose turn it is (``tracked``, ``parking``),
``lookout`` says what changed (``watcher`` and ``watches``: file events, ``spools``: rescans, ``ledger``: what needs no look), ``keeping``
sees to deletion and budgets (``pruning``, ``retention``), ``snapshot`` and ``exposition`` tell of it.
"""
