"""Caches answers, and returns a cached answer only to the tenant that it was made for.

Input: a call and the way to make its answer. Output: an answer, cached or new. ``cache_key.py`` decides which calls ask the same.
``cached_answers.py`` holds answers within limits of count, bytes and age. ``semantic_index.py`` finds near-identical questions, where
that is switched on. ``streams.py`` records a stream as it passes. ``cache.py`` joins these, and answers identical concurrent calls once.
"""
