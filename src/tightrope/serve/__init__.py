"""The run-time half: a gateway that answers as the plan says, meters every request in dollars, and loses nothing.

In come requests by several protocols (``protocols/``), each as one ``Call``. ``gateway.py`` takes it the whole way: who asks and
whether they may (``access/``), whether the answer is known (``answers/``), which variant answers (``routing.py``, ``cascade.py``), by an
engine in this process (``local/``) or an upstream server (``upstream/``), what it cost (``ledger/``), and what is said of it
(``watch/``). Deferrable work goes through ``jobs/``; ``drain/`` hears when the machine is to go. Decisions are those of ``policy/``,
which the replay simulated.

To add a kind of engine, write a ``Backend`` (see ``interfaces.py``); to add a protocol, make a ``Call`` of what comes and bytes of a
``Reply``.
"""
