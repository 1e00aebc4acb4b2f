"""Leaving without losing a request: who says that the machine is to go, and what happens from then on.

Comes in: signals, ``POST /drain``, a cloud's notice that a spot machine is taken (``notices``). Goes out: one ``Drain`` that says whether
requests are to be sent here, and when there is nothing left. To extend to another cloud: a class in ``notices`` that yields ``Notice``.
"""
