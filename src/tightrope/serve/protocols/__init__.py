"""What clients speak: bytes in → a ``Call``; a ``Reply`` → bytes out.

``openai.py`` and ``oip.py`` are the two protocols over HTTP, each a few ``Endpoint``s (``http.py``) that the application in
``serve/app.py`` runs; ``grpc.py`` is the second one over gRPC. ``tensors.py`` holds what tensors claim against what came, ``words.py`` says
what is wrong with a body and how each protocol says no, ``guard.py`` is the connection itself with its limits, ``openapi.py`` the
description that is served. To add a protocol, write its ``Endpoint``s and name them in ``serve/app.py``.
"""
