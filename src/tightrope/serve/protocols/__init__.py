"""The protocols that clients speak: bytes in → a ``Call``; a ``Reply`` → bytes out.

``openai.py`` and ``oip.py`` are the two protocols over HTTP, each a few ``Endpoint``s (``http.py``) that the application in
``serve/app.py`` runs; ``grpc.py`` is the second one over gRPC. ``tensors.py`` checks tensors against their declared shapes.
``error_bodies.py`` says what is wrong with a body, in each protocol's form. ``connection.py`` is the connection with its limits, and
``openapi.py`` the served description. To add a protocol, write its ``Endpoint``s and name them in ``serve/app.py``.
"""
