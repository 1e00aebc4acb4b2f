"""Offer files as large as AWS's own, generated as they are sent: a few machines that count among hundreds of thousands of rows."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from tests.clouds import aws_server
from tests.clouds.aws_server import Product

BLOCK_ROWS = 400
TOKEN = b"@@@@@@"
"""Stands in a block for what makes its SKUs unlike those of every other block."""
SYSTEMS = ("Linux", "Windows", "RHEL", "SUSE", "Ubuntu Pro")


def others(count: int) -> list[Product]:
    """Return products that no reader keeps: other systems, tenancies and families, each with its reserved terms."""
    found = []
    for index in range(count):
        system, tenancy = SYSTEMS[index % 5], ("Shared", "Dedicated", "Host")[index % 3]
        software = ("NA", "SQL Std", "SQL Web")[index % 7 % 3]
        machine = f"z{index % 9}.{2 + index % 24}xlarge"
        product = aws_server.linux(
            machine, f"{1 + index % 50}.5000000000", operatingSystem=system, tenancy=tenancy, preInstalledSw=software
        )
        product.terms += aws_server.reserved(1.5 + index % 50)
        product.sku = f"{TOKEN.decode()}{index:010X}"
        found.append(product)
    return found


def filled(block: bytes, mebibytes: float) -> Iterator[bytes]:
    """Yield a block again and again, with other SKUs each time, until so much has come."""
    for number in range(max(1, round(mebibytes * 2**20 / len(block)))):
        yield block.replace(TOKEN, b"%06X" % number)


def offer_csv(products: Iterable[Product], mebibytes: float) -> Iterator[bytes]:
    """Yield an offer file as CSV: what counts stands at its start, the rest after it."""
    yield aws_server.as_csv(aws_server.ec2_rows(products), aws_server.EC2_COLUMNS)
    block = aws_server.as_csv(aws_server.ec2_rows(others(20)), aws_server.EC2_COLUMNS)
    yield from filled(block.split(b"\n", 6)[6], mebibytes)


def members(document: dict[str, object]) -> bytes:
    """Return an object's members as AWS indents them, without its braces and with a comma at the end."""
    return json.dumps(document, indent=2).encode()[2:-2] + b",\n"


def offer_json(products: Iterable[Product], mebibytes: float) -> Iterator[bytes]:
    """Yield an offer file as JSON: all products, then the on-demand terms, then the reserved ones."""
    mine, theirs = aws_server.ec2_json(products), aws_server.ec2_json(others(20))
    blocks = [
        (members(document["products"]), members(document["terms"]["OnDemand"]), members(document["terms"]["Reserved"]))
        for document in (mine, theirs)
    ]
    repeats = max(1, round(mebibytes * 2**20 / sum(map(len, blocks[1]))))
    heads = (
        b'{\n"formatVersion" : "v1.0",\n"version" : "20261120120000",\n"products" : {\n',
        b'},\n"terms" : {\n"OnDemand" : {\n',
        b'},\n"Reserved" : {\n',
    )
    for part, head in enumerate(heads):
        yield head + blocks[0][part]
        for number in range(repeats):
            block = blocks[1][part].replace(TOKEN, b"%06X" % number)
            yield block if number < repeats - 1 else block.rstrip(b",\n")
    yield b"}\n}\n}\n"


def plan_csv(products: Iterable[Product], mebibytes: float) -> Iterator[bytes]:
    """Yield a Savings Plan file as CSV, most of whose rates are of products that no reader keeps."""
    listed = aws_server.plans(list(products))
    yield aws_server.as_csv(aws_server.plan_rows(listed), aws_server.SAVINGS_COLUMNS)
    block = aws_server.as_csv(aws_server.plan_rows(aws_server.plans(others(20))), aws_server.SAVINGS_COLUMNS)
    yield from filled(block.split(b"\n", 6)[6], mebibytes)


def plan_json(products: Iterable[Product], mebibytes: float) -> Iterator[bytes]:
    """Yield a Savings Plan file as JSON: each plan has as many rates of products that no reader keeps."""
    document = aws_server.plans_json(aws_server.plans(list(products)))
    terms = document["terms"]["savingsPlan"]
    rate = json.dumps(terms[0]["rates"][0], indent=2).encode()
    sku = terms[0]["rates"][0]["discountedSku"].encode()
    block = b",\n".join(rate.replace(sku, TOKEN + b"%010X" % index) for index in range(BLOCK_ROWS))
    head = {name: value for name, value in document.items() if name != "terms"}
    yield json.dumps(head, indent=2).encode()[:-2] + b',\n"terms" : {"savingsPlan" : ['
    for number, term in enumerate(terms):
        text = json.dumps(term, indent=2).encode()
        yield (b"" if number == 0 else b",\n") + text[: text.rindex(b"]")]
        for more in filled(block, mebibytes / len(terms)):
            yield b",\n" + more
        yield b"]}"
    yield b"]}}"


def size_of(chunks: Callable[[], Iterable[bytes]]) -> int:
    """Return how many bytes a file has that is never kept."""
    return sum(map(len, chain(chunks())))
