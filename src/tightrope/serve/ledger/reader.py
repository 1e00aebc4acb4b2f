"""The ledger as it is read: the lines of all its gateways as one table of DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tightrope.base.errors import InputError, Where
from tightrope.serve.ledger.compaction import connect, lines_sql, quoted
from tightrope.serve.ledger.journal import HOUR, hour_name
from tightrope.serve.ledger.rows import COSTS

if TYPE_CHECKING:
    import duckdb

GATEWAY = r"regexp_extract(filename, '([^/\\]+)[/\\][^/\\]+$', 1)"
"""The folder that a file is in."""


class LedgerReader:
    """A folder's lines; use it as a context, it holds DuckDB."""

    def __init__(self, folder: Path) -> None:
        """List the files; raise ``InputError`` where there are none."""
        self.folder = folder
        self._lines = sorted(folder.glob("*/*.jsonl"))  # first, so that an hour that is packed meanwhile is not in neither list
        self._packed = sorted(set(folder.glob("*/*.parquet")) - {path.with_suffix(".parquet") for path in self._lines})
        if not self._lines and not self._packed:
            what = "no ledger is here"
            raise InputError(what, resolve="give the folder that serve.yaml names under `ledger:`", where=Where(folder))
        self.sql: duckdb.DuckDBPyConnection = connect("1GB", 2)
        self._view("lines", "")
        begins, ends = self.rows("SELECT min(coalesce(from_ns, at_ns)), max(at_ns) FROM lines")[0]
        self.begins_ns, self.ends_ns = int(begins or 0), int(ends or 0)
        """Of the first and last line."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of DuckDB."""
        self.sql.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; the table is ``lines``, with the gateway's name as ``gateway``."""
        import duckdb  # loaded already

        try:
            return self.sql.execute(query, list(values)).fetchall()
        except duckdb.IOException as error:
            what = f"the ledger cannot be read: {str(error).splitlines()[0]}"
            raise InputError(
                what, resolve="try again: an hour may have been packed just now", where=Where(self.folder)
            ) from error

    def only_hours(self, from_ns: int, to_ns: int) -> None:
        """Make ``requests`` a table of the requests that ended in this time, its last instant included; it opens few files.

        Where a gateway could not begin a file, or write, for hours, what came then stands in the file before.
        """
        first, last = hour_name(from_ns - HOUR), hour_name(to_ns + HOUR)
        self._view("near", first, last)
        self.rows(f"CREATE OR REPLACE VIEW requests AS FROM near WHERE {COSTS} AND at_ns > {from_ns} AND at_ns <= {to_ns}")

    def _view(self, name: str, first: str, last: str = "~") -> None:
        """Make a table of the files of hours between two, or a gateway's last before them; where there are none, an empty one."""
        begins = {path.parent: path.stem for path in sorted([*self._packed, *self._lines]) if path.stem <= first}
        packed = [quoted(str(path)) for path in self._packed if begins.get(path.parent, "") <= path.stem <= last]
        lines = [path for path in self._lines if begins.get(path.parent, "") <= path.stem <= last]
        tables = []
        if packed:
            tables.append(f"FROM read_parquet([{', '.join(packed)}], filename = true, union_by_name = true)")
        if lines:
            tables.append(lines_sql(lines))
        if not tables:
            tables.append("FROM lines LIMIT 0")
        union = " UNION ALL BY NAME ".join(f"({table})" for table in tables)
        columns = "*" if not (packed or lines) else f"* EXCLUDE (filename), {GATEWAY} AS gateway"
        self.rows(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM ({union})")
