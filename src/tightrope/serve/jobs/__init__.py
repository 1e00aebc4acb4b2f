"""Work that can wait: OpenAI's ``/v1/files`` and ``/v1/batches`` over a durable queue, done in idle capacity by its deadline.

``service.py`` is what a gateway starts. ``routes.py`` takes files (``uploads.py``, ``multipart.py``) and batches, each once however often
it is asked for (``once.py``), ``validate.py`` reads a batch's file line by line into items (``lines.py``), and ``runner.py`` does them,
earliest deadline first and fair between tenants (``schedule.py``); how many at once is learned in ``pace.py`` and decided in
``policy/defer.py``. ``keeper.py`` does what time brings: expiry, retention, the work of gateways that died. All state is in a database,
SQLite for one gateway and PostgreSQL for several, behind two methods (``database.py``); the same statements run on both (``files.py``,
``batches.py``, ``items.py``).

An item is held by one gateway at a time and may be tried more than once; its answer is written once, by whoever is first, in the row
that its (batch, custom_id) names. Output files are those rows, read in the order of the input: nothing is copied, so nothing can be lost
or doubled between answer and file.
"""
