"""Upstream servers that answer for a pool: any that speaks OpenAI's protocol or the Open Inference Protocol.

Input: a ``Call``. Output: the server's ``Reply``, with its tokens and its share of the pool's machines. ``pool.py`` takes a request the
whole way. It gets a place on a replica (``fleet.py`` knows the replicas and their load; ``replica_queue.py`` holds the waiting). The
request is put in the server's words (``openai.py``, ``oip.py``; ``tightrope_engine.py`` for texts to Tightrope's own engines).
``sender.py`` sends and retries it, ``hedging.py`` sends two at once, and ``stream.py`` and ``sse.py`` read streams. To add a protocol,
write a ``Dialect`` (see ``dialect.py``).
"""
