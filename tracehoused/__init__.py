"""The agent: takes to a server what jobs left in spools, each record once.

- ``cli``: the commands ``tracehouse`` and ``tracehoused``, one a file; ``config``, ``options``: what they were told.
- ``service``: the agent in the background: which spools, what changed there, whose turn it is, what may be deleted.
- ``upload``: one session to one destination, from bytes in segments to acknowledged records.
- ``identities``: as whom, and with which key. ``http``: a request goes out, an answer comes back, and what it means.
- ``house``: a server of one's own: the protocol, its store, its pages. ``viewing``: one for a spool, while one looks.
- ``status``, ``following``, ``verify``, ``doctor``, ``letters``, ``export``: a spool looked at, proven, mended, taken out.
"""
