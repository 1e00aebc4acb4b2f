"""What a line of the ledger says. A line is one JSON object; fields that say nothing are left out, and null is what is not known.

No field holds anything of a question, an answer or a key: names that the operator gave, the tag that a client chose, numbers.
"""

from typing import Literal

from msgspec import Struct, field

LONGEST = 64
"""Letters of what a client may choose itself."""


class Request(Struct, omit_defaults=True):
    """One request, or a cost of one that is a line of its own.

    ``escalated`` is what the small model of a cascade took before, ``lost`` an attempt that came to nothing, on the pool where it was made.
    """

    kind: Literal["request", "escalated", "lost"]
    seq: int
    at_ns: int
    """Of its end, UTC, since 1970."""
    id: str
    compute_nusd: int | None
    saved_nusd: int | None
    status: int
    tenant: str = ""
    key: str = ""
    traffic_class: str = field(default="", name="class")
    tag: str = ""
    model: str = ""
    pool: str = ""
    variant: str = ""
    replica: str = ""
    machine: str = ""
    offer: str = ""
    cloud: str = ""
    region: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    machine_ms: float = 0.0
    """Share of one machine's time."""
    tokens_nusd: int = 0
    egress_nusd: int = 0
    cached: str = ""
    wait_ms: float = 0.0
    service_ms: float = 0.0
    total_ms: float = 0.0


class Machines(Struct, omit_defaults=True, tag_field="kind", tag="machines"):
    """What a meter counted over a time in which the number of its machines did not change."""

    seq: int
    at_ns: int
    meter: str
    pools: list[str]
    """That run on these machines."""
    from_ns: int
    to_ns: int
    machines_e6: int
    """Millionths of a machine."""
    nusd_per_hour: int | None
    """Of one machine."""
    paid_nusd: int | None
    used_nusd: int | None
    idle_nusd: int | None
    ended_nusd: int | None
    """What the uses cost that ended in this time; ``used_nusd`` counts them as they went on."""
    used_s: float = 0.0
    """Machine time that uses took, in seconds of one machine; known where the price is not, too."""
    shared: bool = False
    """Other gateways count the same machines: they are paid once."""
    unmetered: bool = False
    """Nobody counted, since this gateway was not there; its machines were."""
    machine: str = ""
    offer: str = ""
    cloud: str = ""
    region: str = ""


class Event(Struct, omit_defaults=True):
    """``start`` and ``stop`` of a gateway; a spot ``notice``; a tenant's ``budget`` that is used up."""

    kind: Literal["start", "stop", "notice", "budget"]
    seq: int
    at_ns: int
    id: str = ""
    pool: str = ""
    replica: str = ""
    tenant: str = ""
    what: str = ""
    nusd: int = 0


COSTS = "kind IN ('request', 'escalated', 'lost')"
"""SQL of the lines that say what requests cost."""
COLUMNS: dict[str, tuple[str, str]] = {
    "kind": ("VARCHAR", "'torn'"),
    "seq": ("BIGINT", "NULL"),
    "at_ns": ("BIGINT", "NULL"),
    "id": ("VARCHAR", "''"),
    "tenant": ("VARCHAR", "''"),
    "key": ("VARCHAR", "''"),
    "class": ("VARCHAR", "''"),
    "tag": ("VARCHAR", "''"),
    "model": ("VARCHAR", "''"),
    "pool": ("VARCHAR", "''"),
    "variant": ("VARCHAR", "''"),
    "replica": ("VARCHAR", "''"),
    "machine": ("VARCHAR", "''"),
    "offer": ("VARCHAR", "''"),
    "cloud": ("VARCHAR", "''"),
    "region": ("VARCHAR", "''"),
    "status": ("INTEGER", "NULL"),
    "cached": ("VARCHAR", "''"),
    "tokens_in": ("BIGINT", "0"),
    "tokens_out": ("BIGINT", "0"),
    "machine_ms": ("DOUBLE", "0.0"),
    "wait_ms": ("DOUBLE", "0.0"),
    "service_ms": ("DOUBLE", "0.0"),
    "total_ms": ("DOUBLE", "0.0"),
    "compute_nusd": ("BIGINT", "NULL"),
    "tokens_nusd": ("BIGINT", "0"),
    "egress_nusd": ("BIGINT", "0"),
    "saved_nusd": ("BIGINT", "NULL"),
    "meter": ("VARCHAR", "''"),
    "pools": ("VARCHAR[]", "NULL"),
    "from_ns": ("BIGINT", "NULL"),
    "to_ns": ("BIGINT", "NULL"),
    "machines_e6": ("BIGINT", "NULL"),
    "nusd_per_hour": ("BIGINT", "NULL"),
    "paid_nusd": ("BIGINT", "NULL"),
    "used_nusd": ("BIGINT", "NULL"),
    "idle_nusd": ("BIGINT", "NULL"),
    "ended_nusd": ("BIGINT", "NULL"),
    "used_s": ("DOUBLE", "0.0"),
    "shared": ("BOOLEAN", "false"),
    "unmetered": ("BOOLEAN", "false"),
    "what": ("VARCHAR", "''"),
    "nusd": ("BIGINT", "NULL"),
}
"""Of the table that all lines are together: DuckDB's type, and what a field is that a line leaves out."""
