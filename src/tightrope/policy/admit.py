"""What a token server lets into its running batch: pure functions, compiled by the replay and called plain by a gateway."""


def may_admit(tokens: int, cached_tokens_reserved: int, kv_capacity_tokens: int, sequences: int, max_sequences: int) -> bool:
    """Return whether a request of ``tokens`` (input and output) fits; its KV cache is reserved in full, so none is evicted.

    >>> may_admit(1000, 3500, 4096, 3, 8), may_admit(500, 3500, 4096, 3, 8), may_admit(500, 3500, 4096, 8, 8)
    (False, True, False)
    """
    return sequences < max_sequences and cached_tokens_reserved + tokens <= kv_capacity_tokens


def may_start_deferrable(sequences: int, limit: int) -> bool:
    """Return whether work that can wait may join: called only when no interactive request waits, up to ``limit`` sequences.

    >>> may_start_deferrable(3, 4), may_start_deferrable(4, 4)
    (True, False)
    """
    return sequences < limit
