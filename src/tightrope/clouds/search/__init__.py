"""Questions that people ask the price book. Comes in: a ``PriceBook`` and what was typed; goes out: plain records for ``render/prices``.

One module a question: ``find``, ``sheet`` (of one machine), ``compare``, ``changes`` (between two days) and ``origins`` (where it all
comes from). Names that people type are matched by ``match``: case does not matter, ``*`` and ``?`` stand for anything, and a name
that is not there is answered with near ones. What a machine costs in a region is said by ``places``, the same to every question. To
ask something new: a module with one pure function from a book to records.
"""
