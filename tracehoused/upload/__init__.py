"""One session to one destination. A record's way::

    reader → rounds → batch → wire → delivery (→ http.client → http.retry) → checkpoint
    bytes    a round  bounds  bodies  sent, answered, settled                 acknowledged, durably

``uploader`` alone knows the order of the steps of a session: its creation, rollouts, batches, patches, its ending. ``engine`` knows which
session goes where, with which key, and when again; both ``tracehouse sync`` and the service use it.
"""
