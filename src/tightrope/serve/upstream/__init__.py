"""Servers elsewhere that answer for a pool: any that speaks OpenAI's protocol or the Open Inference Protocol.

In comes a ``Call``; out goes the server's ``Reply``, with its tokens and its share of the pool's machines. ``pool.py`` takes a request
the whole way: a place on a replica (``fleet.py``: which there are, which can be asked, which has least to do; ``line.py``: who waits),
the request in the server's words (``openai.py``, ``oip.py``; ``ours.py`` for texts to engines of our own), the asking and asking again
(``send.py``; ``race.py``: of two at once), and of streams what comes back (``stream.py``, ``sse.py``). To add a protocol, write a
``Dialect`` (see ``asked.py``).
"""
