"""AWS's EC2 API in small: spot price history by pages, and the ids of zones (the query protocol, as boto3 speaks it)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.clouds.loopback import Request


@dataclass(frozen=True)
class Spot:
    """One price of the spot price history."""

    machine: str
    zone: str
    usd: str
    when: datetime = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass
class Ec2:
    """The EC2 API: spot price history by pages, and the zones' ids."""

    history: Sequence[Spot]
    page: int = 1000
    refuse: str = ""
    """An error code that answers every call."""
    zones_refuse: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """Answer one call of the query protocol."""
        query = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append(query)
        zones = query["Action"] == "DescribeAvailabilityZones"
        refused = self.refuse or (self.zones_refuse if zones else "")
        if refused:
            text = f"<Response><Errors><Error><Code>{refused}</Code><Message>no: {escape(str(request.headers))}</Message></Error>"
            return 403, {}, f"{text}</Errors><RequestID>1</RequestID></Response>".encode()
        body = self.zones() if zones else self.prices(query)
        head = f'<{query["Action"]}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>'
        return 200, {"Content-Type": "text/xml"}, f"{head}{body}</{query['Action']}Response>".encode()

    def zones(self) -> str:
        """Return every zone with its id: ``us-east-1a`` is ``use1-az1``, and so on."""
        items = "".join(
            f"<item><zoneName>{zone}</zoneName><zoneId>{zone_id(zone)}</zoneId></item>"
            for zone in sorted({spot.zone for spot in self.history})
        )
        return f"<availabilityZoneInfo>{items}</availabilityZoneInfo>"

    def prices(self, query: Mapping[str, str]) -> str:
        """Return one page of the history, of the machines asked for."""
        asked = {value for name, value in query.items() if name.startswith("InstanceType.")}
        found = [spot for spot in self.history if spot.machine in asked]
        start = int(query.get("NextToken", "0"))
        items = "".join(
            f"<item><instanceType>{spot.machine}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{escape(spot.usd)}</spotPrice><timestamp>{spot.when:%Y-%m-%dT%H:%M:%S}.000Z</timestamp>"
            f"<availabilityZone>{spot.zone}</availabilityZone></item>"
            for spot in found[start : start + self.page]
        )
        more = str(start + self.page) if start + self.page < len(found) else ""
        return f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken>{more}</nextToken>"


def zone_id(zone: str) -> str:
    """Return a zone's id: ``us-east-1b`` is ``use1-az2``."""
    return f"{zone[0:2]}{zone[3]}{zone[-2]}-az{ord(zone[-1]) - 96}"
