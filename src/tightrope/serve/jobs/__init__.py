"""Deferrable work: OpenAI's ``/v1/files`` and ``/v1/batches`` over a durable queue, done in idle capacity by its deadline.

``service.py`` is what a gateway starts. ``routes.py`` takes files (``uploads.py``, ``multipart.py``) and batches, each once however often
it is sent (``idempotency.py``). ``validate.py`` reads a batch's file line by line into items (``batch_lines.py``). ``runner.py`` does
them, earliest deadline first and fair between tenants (``schedule.py``). ``pacing.py`` learns how many to run at once, and
``policy/deferral.py`` decides. ``housekeeping.py`` does expiry, retention and the work of gateways that died. All state is in a database,
SQLite for one gateway and PostgreSQL for several, behind two methods (``database.py``). The same statements run on both (``files.py``,
``batches.py``, ``items.py``).

One gateway at a time holds an item, and an item may be tried more than once. Its answer is written once, by the first to finish, in the
row that its (batch, custom_id) names. Output files are those rows, read in the order of the input. Nothing is copied, so nothing can be
lost or doubled between answer and file.
"""
