"""Offer files as large as AWS's own, generated as they are sent: a few machines that count among hundreds of thousands of rows."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from tests.clouds import aws_lists
from tests.clouds.aws_lists import Product

BLOCK_RATES = 400
TOKEN = b"@@@@@@"
"""Stands in a block for what makes its SKUs unlike those of every other block."""
Part: TypeAlias = tuple[bytes, int]
"""A piece of a file, and how often it comes."""
SYSTEMS = ("Linux", "Windows", "RHEL", "SUSE", "Ubuntu Pro")


def others(count: int) -> list[Product]:
    """Return products that no reader keeps: other systems, tenancies and families, each with its reserved terms."""
    found = []
    for index in range(count):
        system, tenancy = SYSTEMS[index % 5], ("Shared", "Dedicated", "Host")[index % 3]
        software = ("NA", "SQL Std", "SQL Web")[index % 7 % 3]
        machine = f"z{index % 9}.{2 + index % 24}xlarge"
        product = aws_lists.linux(
            machine, f"{1 + index % 50}.5000000000", operatingSystem=system, tenancy=tenancy, preInstalledSw=software
        )
        product.terms += aws_lists.reserved(1.5 + index % 50)
        product.sku = f"{TOKEN.decode()}{index:010X}"
        found.append(product)
    return found


def sent(parts: Iterable[Part]) -> Iterator[bytes]:
    """Yield a file's parts, each as often as it says, with other SKUs each time."""
    for block, times in parts:
        for number in range(times):
            yield block.replace(TOKEN, b"%06X" % number)


def measured(parts: Iterable[Part], mark: bytes) -> tuple[int, int]:
    """Return how many bytes a file has that is never kept, and how many prices: a mark stands in it once for each."""
    parts = list(parts)
    return sum(len(block) * times for block, times in parts), sum(block.count(mark) * times for block, times in parts)


def times_of(block: bytes, mebibytes: float) -> int:
    """Return how often a block makes so much."""
    return max(1, round(mebibytes * 2**20 / len(block)))


def offer_csv(products: Iterable[Product], mebibytes: float) -> list[Part]:
    """Return an offer file as CSV: what counts stands at its start, the rest after it."""
    mine, theirs = (aws_lists.as_csv(aws_lists.ec2_rows(some), aws_lists.EC2_COLUMNS) for some in (products, others(20)))
    block = theirs.split(b"\n", 6)[6]
    return [(mine, 1), (block, times_of(block, mebibytes))]


def offer_json(products: Iterable[Product], mebibytes: float) -> list[Part]:
    """Return an offer file as JSON: all products, then the on-demand terms, then the reserved ones; what counts at their ends."""
    mine, theirs = (_members(aws_lists.ec2_json(some)) for some in (products, others(20)))
    times = times_of(b"".join(theirs), mebibytes)
    about = b'"formatVersion" : "v1.0",\n"version" : "%b"' % aws_lists.VERSION.encode()
    heads = (b"{\n" + about + b',\n"products" : {\n', b'\n},\n"terms" : {\n"OnDemand" : {\n', b'\n},\n"Reserved" : {\n')
    parts = [
        part
        for head, block, end in zip(heads, theirs, mine, strict=True)
        for part in ((head, 1), (block + b",\n", times), (end, 1))
    ]
    return [*parts, (b"\n}\n}\n}\n", 1)]


def _members(document: dict[str, Any]) -> list[bytes]:
    """Return the products and both kinds of terms as AWS indents them, without the braces around them."""
    listed = (document["products"], document["terms"]["OnDemand"], document["terms"]["Reserved"])
    return [json.dumps(part, indent=2).encode()[2:-2] for part in listed]


def plan_csv(products: Iterable[Product], mebibytes: float) -> list[Part]:
    """Return a Savings Plan file as CSV, most of whose rates are of products that no reader keeps."""
    mine, theirs = (
        aws_lists.as_csv(aws_lists.plan_rows(aws_lists.plans(list(some))), aws_lists.SAVINGS_COLUMNS)
        for some in (products, others(20))
    )
    block = theirs.split(b"\n", 6)[6]
    return [(mine, 1), (block, times_of(block, mebibytes))]


def plan_json(products: Iterable[Product], mebibytes: float) -> list[Part]:
    """Return a Savings Plan file as JSON: each plan has as many rates of products that no reader keeps, before those that count."""
    document = aws_lists.plans_json(aws_lists.plans(list(products)))
    terms = document.pop("terms")["savingsPlan"]
    rate = json.dumps(terms[0]["rates"][0], indent=2).encode()
    sku = terms[0]["rates"][0]["discountedSku"].encode()
    block = b"".join(rate.replace(sku, TOKEN + b"%010X" % index) + b",\n" for index in range(BLOCK_RATES))
    parts = [(json.dumps(document, indent=2).encode()[:-2] + b',\n"terms" : {"savingsPlan" : [', 1)]
    for number, term in enumerate(terms):
        about, _, rates = json.dumps(term, indent=2).encode().partition(b'"rates": [')
        head = (b",\n" if number else b"") + about + b'"rates": ['
        parts += [(head, 1), (block, times_of(block, mebibytes / len(terms))), (rates, 1)]
    return [*parts, (b"]}}", 1)]
