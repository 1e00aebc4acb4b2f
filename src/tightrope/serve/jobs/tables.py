"""The tables. Times are Unix seconds; what is only shown is JSON.

States of an item: it waits, is held by a gateway, or is done, with an answer that goes to the output file or one that goes to the error
file. ``result`` is then its whole line, so that a file is its rows one after another.
"""

from types import MappingProxyType

VERSION = 2
WAITING, HELD, ANSWERED, FAILED = 0, 1, 2, 3
PART_BYTES = 256 * 1024
"""Files are kept in parts of this size: small enough to find a line in, large enough to be few."""

VERSIONED = "CREATE TABLE IF NOT EXISTS tightrope_jobs (version INTEGER NOT NULL)"
TABLES = (
    """CREATE TABLE IF NOT EXISTS tightrope_files (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, purpose TEXT NOT NULL, name TEXT NOT NULL, size BIGINT NOT NULL,
        created_s DOUBLE PRECISION NOT NULL, expires_s DOUBLE PRECISION NOT NULL, ready INTEGER NOT NULL, batch TEXT, state INTEGER,
        once TEXT, asked TEXT)""",
    "CREATE INDEX IF NOT EXISTS tightrope_files_of ON tightrope_files (tenant, id)",
    "CREATE INDEX IF NOT EXISTS tightrope_files_by ON tightrope_files (batch)",
    "CREATE UNIQUE INDEX IF NOT EXISTS tightrope_files_once ON tightrope_files (tenant, once)",
    """CREATE TABLE IF NOT EXISTS tightrope_parts (
        file TEXT NOT NULL, number INTEGER NOT NULL, bytes BYTEA NOT NULL, PRIMARY KEY (file, number))""",
    """CREATE TABLE IF NOT EXISTS tightrope_batches (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, caller TEXT NOT NULL, endpoint TEXT NOT NULL, file TEXT NOT NULL,
        due_within TEXT NOT NULL, metadata TEXT NOT NULL, traffic_class TEXT NOT NULL, output_keep_s DOUBLE PRECISION NOT NULL,
        created_s DOUBLE PRECISION NOT NULL, due_s DOUBLE PRECISION NOT NULL, status TEXT NOT NULL, moments TEXT NOT NULL,
        errors TEXT NOT NULL, total BIGINT NOT NULL, completed BIGINT NOT NULL, failed BIGINT NOT NULL, output_bytes BIGINT NOT NULL,
        error_bytes BIGINT NOT NULL, output_file TEXT, error_file TEXT, holder TEXT, finished_s DOUBLE PRECISION,
        input_tokens BIGINT NOT NULL DEFAULT 0, cached_tokens BIGINT NOT NULL DEFAULT 0, output_tokens BIGINT NOT NULL DEFAULT 0,
        reasoning_tokens BIGINT NOT NULL DEFAULT 0, counted BIGINT NOT NULL DEFAULT 0, once TEXT, asked TEXT)""",
    "CREATE INDEX IF NOT EXISTS tightrope_batches_of ON tightrope_batches (tenant, id)",
    "CREATE INDEX IF NOT EXISTS tightrope_batches_open ON tightrope_batches (due_s) WHERE finished_s IS NULL",
    "CREATE UNIQUE INDEX IF NOT EXISTS tightrope_batches_once ON tightrope_batches (tenant, once)",
    """CREATE TABLE IF NOT EXISTS tightrope_items (
        batch TEXT NOT NULL, line BIGINT NOT NULL, custom_id TEXT NOT NULL, start BIGINT NOT NULL, size INTEGER NOT NULL,
        state INTEGER NOT NULL, holder TEXT, tries INTEGER NOT NULL, last_status INTEGER, not_before_s DOUBLE PRECISION NOT NULL,
        result BYTEA, PRIMARY KEY (batch, line), UNIQUE (batch, custom_id))""",
    "CREATE INDEX IF NOT EXISTS tightrope_items_waiting ON tightrope_items (batch, line) WHERE state = 0",
    "CREATE INDEX IF NOT EXISTS tightrope_items_held ON tightrope_items (holder) WHERE state = 1",
    "CREATE TABLE IF NOT EXISTS tightrope_holders (id TEXT PRIMARY KEY, until_s DOUBLE PRECISION NOT NULL)",
)

STEPS = MappingProxyType(
    {
        1: (
            *(
                f"ALTER TABLE tightrope_batches ADD COLUMN {name} BIGINT NOT NULL DEFAULT 0"
                for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "counted")
            ),
            *(
                f"ALTER TABLE {table} ADD COLUMN {name} TEXT"
                for table in ("tightrope_files", "tightrope_batches")
                for name in ("once", "asked")
            ),
        )
    }
)
"""Version → what brings its tables to the next."""


def makes(version: int | None) -> tuple[str, ...]:
    """Return the statements that make this version's tables, of those of an earlier one, or of nothing (None).

    Of a version that is not known there are none: its tables are left alone.
    """
    if version not in (None, VERSION, *STEPS):
        return ()
    steps = [statement for old in range(version or VERSION, VERSION) for statement in STEPS[old]]
    said = "DELETE FROM tightrope_jobs", f"INSERT INTO tightrope_jobs VALUES ({VERSION})"
    return (*steps, *TABLES, *said)
