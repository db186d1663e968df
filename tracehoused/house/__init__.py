"""The house: a small self-hosted receiver of traces and runs, with an API and web pages.

    app        the ASGI application
    server     one process that serves it: data directory, port, signals
    api/       the wire protocol, and reading what is held
    pages/     what people see
    auth       keys, anonymous tokens, sign-in
    mediastore media by hash, by URL: in a directory (blobs) or a bucket (buckets)
    store/     the database, behind SQLAlchemy Core: SQLite, or PostgreSQL for several processes side by side
    chat, training, fields, values   checking what comes in; no I/O

It lets nobody in by accident: every read and write needs a key or a signed-in browser, the Host header must name this
house, and what was uploaded is never served as a page of its own. An answer of success means the data is on the disk.
"""
