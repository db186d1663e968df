"""The spool, format 1: what a job leaves on disk and the agent uploads. This docstring is the specification.

Layout
======

::

    <spool>/
      .writers/<epoch>.lock            one per writing process, flocked while it lives; its mtime is the heartbeat (every 30 s)
      .trash/                          sessions being deleted by the agent
      <kind>-<safe id>-<hash16>/       one session; kind is ``trace`` or ``run``
        session.json                   the manifest, published whole; the first one wins
        <epoch>-<n>.jsonl              segments of one writer, n = 0, 1, 2 … (six digits)
        media/<sha256>.<ext>           media files, content-addressed
        upload/<destination>/          the agent's: acknowledgements, server ids, dead letters

A *writer* is one process from its first record to its end; its *epoch* is 16 random hex digits. A forked child is a new
writer. Directories are 0700, files 0600. ``safe id`` is the id with every byte outside ``[A-Za-z0-9._-]`` replaced by ``_``, cut
at 60 bytes; what tells sessions apart is the hash: the first 16 hex digits of the SHA-256 of the JSON list
``[kind, id, api_base, credential]``, credential being the key's fingerprint (first 16 hex of its SHA-256), ``"anon"`` or ``"-"``.

Manifest
========

``session.json`` is one JSON object: ``format`` (1), ``uid`` (32 random hex digits: the session's identity, whatever path it is
copied to), ``kind``, ``id`` (session_id of a trace, client_run_id of a run), ``machine_id``, ``hostname``, ``api_base``,
``credential`` (fingerprint, ``"anon"``, or null), ``created_at``, ``epoch`` (the creator's), ``project``, ``name``,
``agent_version`` (the user's word), ``version`` (of the emitter). The header of each segment repeats it, so that a manifest lost
with the power can be had from there.

Records
=======

A segment is a sequence of lines, each one record, ended by ``\\n`` (never split at anything else)::

    {"crc":"8c736521","seq":17,"type":"span","data":{…}}

- The member order and the absence of spaces outside ``data`` are part of the format, so that a reader can slice.
- ``crc``: CRC-32 (eight lower-case hex digits) of all bytes behind those digits up to, not including, the newline; its start
  value is the CRC-32 of ``<uid>/<epoch>``. So a damaged seq, or a line from another session or writer, does not pass.
- ``seq`` counts 1, 2, 3 … per session and epoch, over all record types, headers too. A gap is a loss, made visible.
- ``data`` is a JSON object in UTF-8. No record is longer than 16 MiB.

Invariants: a segment is opened with O_EXCL, appended to by one process with one write(2) a record, and never reopened. A record
whose write or fsync failed is written again, same seq, in the writer's next segment: **of several valid lines of one epoch
and seq the first counts** (segments in order of n). Bytes that are not a valid line are damage: they cost only themselves. Bytes
behind the last newline are a torn tail, or a record still being written.

Types
=====

========================  ==========================================================================================================
``segment``               first line of each segment: ``format``, ``epoch``, ``n``, ``attempt``, ``claim``, ``pid``, ``host``, ``boot_id``,
                          ``at``, ``next_step`` (of a run: what its automatic step had reached), ``session`` (the manifest)
``trace``                 body of ``POST /v1/traces``; a rollout's has ``rollout_step`` and lies in its run's directory
``span``                  a span as it goes over the wire, byte for byte
``trace_patch``           ``session_id`` and what is to be changed: ``outcome``, ``metadata``, ``task_name``, ``model``, ``scaffold``
``run``                   body of ``POST /v1/runs``
``metrics``               one ``log()`` call: ``step``, ``wall_time``, ``values`` (key → number, string, list or object)
``run_patch``             ``status``, ``ended_at``, ``hf_dataset``, ``hf_dataset_split``, ``hf_model``, ``hf_model_revision``
``config_patch``          what is to be merged into the run's config
``media``                 ``key``, ``media_type``, ``mime``, ``sha256``, ``size``, ``file`` (name under media/), ``step``, ``caption``
``artifact``              body of ``POST …/artifacts``: ``name``, ``kind``, ``data``
``push_model_card``       ``commit_message`` or nothing
``dropped``               ``records``, ``bytes``, ``reasons`` (reason → count), ``since``: what was given up since the last such record
``exit``                  the writer's process ends: ``status`` (null: says nothing of the run), ``exception``, ``code``, ``at``
``close``                 the writer is done with this session: ``at``
========================  ==========================================================================================================

Numbers that JSON cannot hold are objects: ``{"_type":"number","value":"NaN"}`` (also ``"Infinity"``, ``"-Infinity"``).

Attempts: a writer that opens a session in which no writer lives begins the next attempt, else it shares the current one.
``claim`` orders the writers of a session: one more than the highest claim the writer saw when it opened. The order of records is
(attempt, claim, epoch, seq), never wall time.

A reader meets ``format`` > 1 with a refusal, and an unknown record type by leaving the record where it is.
"""

from __future__ import annotations

FORMAT = 1

__all__ = ["FORMAT"]
