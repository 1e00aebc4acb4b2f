"""AWS's lists in another shape than known are refused, and the message says where, what was got and expected."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from tests.clouds import aws_lists, aws_server
from tests.clouds.aws.helpers import FORMS, REGION, changed, changed_plans
from tests.clouds.aws_lists import Dimension
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue
from tightrope.base.errors import SourceError

Fetch: TypeAlias = Callable[..., tuple[Catalogue, list[str]]]


# ---------------------------------------------------------------------------------------------------------- other shapes


def other_columns(aws: Loopback, without: str) -> None:
    columns = [name for name in aws_lists.EC2_COLUMNS if name != without]
    aws.serve(aws_server.offer_path(), aws_lists.as_csv(aws_lists.ec2_rows(aws_lists.catalogue()), columns))


@pytest.mark.parametrize(
    "column",
    [
        *("SKU", "TermType", "OfferTermCode", "EffectiveDate", "Unit", "Currency", "PricePerUnit", "Product Family"),
        *("LeaseContractLength", "PurchaseOption", "OfferingClass", "Instance Type", "vCPU", "Memory", "Network Performance"),
        *("Operating System", "Pre Installed S/W", "Tenancy", "CapacityStatus"),
    ],
)
def test_a_missing_column_is_refused(aws: Loopback, fetch: Fetch, column: str) -> None:
    other_columns(aws, column)
    expected = "the names of the columns in the sixth row" if column == "SKU" else f"expected a column '{column}'"
    with pytest.raises(SourceError, match=expected) as caught:
        fetch()
    assert "AWS Price List, offer file AmazonEC2 of us-east-1" in str(caught.value)


@pytest.mark.parametrize("column", ["DiscountedSKU", "Product Family", "DiscountedRate", "LeaseContractLengthUnit"])
def test_a_missing_column_of_the_savings_plans_is_refused(aws: Loopback, fetch: Fetch, column: str) -> None:
    columns = [name for name in aws_lists.SAVINGS_COLUMNS if name != column]
    rows = aws_lists.plan_rows(aws_lists.plans(aws_lists.catalogue()))
    aws.serve(aws_server.plan_path(), aws_lists.as_csv(rows, columns))
    with pytest.raises(SourceError, match=f"expected a column '{column}'"):
        fetch()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        (Dimension("Hours", "0.8"), "got 'Hours', expected prices per Hrs or Quantity"),
        (Dimension("Hrs", "0.8", "CNY"), "got 'CNY', expected prices in USD"),
        (Dimension("Hrs", "free"), "got 'free', expected a price in US dollars"),
        (Dimension("Hrs", "NaN"), "got 'NaN', expected a price in US dollars"),
    ],
    ids=str,
)
def test_another_unit_currency_or_no_number_is_refused(
    aws: Loopback, fetch: Fetch, form: str, dimension: Dimension, said: str
) -> None:
    products = aws_lists.catalogue()
    changed(products).terms[0].dimensions = [dimension]
    aws_server.serve_region(aws, products=products, listed=[])
    with pytest.raises(SourceError, match=said):
        fetch(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"unit": "Day"}, "got 'Day', expected prices per Hrs"),
        ({"currency": "EUR"}, "got 'EUR', expected prices in USD"),
        ({"effective": "soon"}, "got 'soon', expected an effective date"),
    ],
    ids=str,
)
def test_another_shape_of_savings_plans_is_refused(
    aws: Loopback, fetch: Fetch, form: str, facts: dict[str, str], said: str
) -> None:
    aws_server.serve_region(aws, listed=changed_plans(**facts))
    with pytest.raises(SourceError, match=said) as caught:
        fetch(form)
    assert "AWS Price List, Savings Plan file of us-east-1" in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_list_without_the_machines_is_refused(aws: Loopback, fetch: Fetch, form: str) -> None:
    others = [p for p in aws_lists.catalogue() if p.attributes.get("operatingSystem") != "Linux"]
    aws_server.serve_region(aws, products=others, listed=[])
    with pytest.raises(SourceError, match="got '0 such machines, none with a price', expected on-demand prices"):
        fetch(form)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: {"terms": document["terms"], "products": document["products"]}, "expected products, then terms"),
        (lambda document: {"products": document["products"]}, "got 'products', expected products, then terms"),
        (lambda document: document | {"products": []}, "expected an object as products"),
        (lambda document: document | {"terms": {"OnDemand": []}}, "expected an object as terms of kind OnDemand"),
        (lambda document: document | {"products": {"A": {"sku": "A"}}}, "expected a product with attributes"),
        (lambda document: document | {"products": {"A": 7}}, "expected an object as a product"),
        (lambda document: [document], "expected an object as the list"),
    ],
)
def test_another_shape_of_json_is_refused(aws: Loopback, fetch: Fetch, change: Callable[[Any], Any], said: str) -> None:
    document = aws_lists.ec2_json(aws_lists.catalogue())
    aws.serve(aws_server.offer_path(suffix="json"), json.dumps(change(document)))
    with pytest.raises(SourceError, match=said):
        fetch("json")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("offerTermCode", "a field 'offerTermCode'"),
        ("effectiveDate", "a field 'effectiveDate'"),
        ("priceDimensions", "a term with priceDimensions"),
        ("termAttributes", "a term with priceDimensions and termAttributes"),
    ],
)
def test_a_missing_field_is_refused(aws: Loopback, fetch: Fetch, field: str, said: str) -> None:
    document = aws_lists.ec2_json(aws_lists.catalogue())
    for terms in document["terms"]["OnDemand"].values():
        for term in terms.values():
            del term[field]
    aws.serve(aws_server.offer_path(suffix="json"), json.dumps(document))
    with pytest.raises(SourceError, match=said):
        fetch("json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda terms: [{**term, "sku": "UNHEARD"} for term in terms], "plans that are among the products"),
        (lambda terms: [{"rates": term["rates"], **term} for term in terms], "a field 'sku'"),
        (lambda _: {"A": 1}, "an array as plans"),
        (lambda terms: [{**term, "rates": {}} for term in terms], "an array as rates"),
        (lambda terms: [{**term, "rates": [{}]} for term in terms], "a field 'discountedSku'"),
        (lambda terms: [{**term, "leaseContractLength": "1yr"} for term in terms], "a field 'leaseContractLength.duration'"),
    ],
)
def test_another_shape_of_savings_plans_as_json_is_refused(
    aws: Loopback, fetch: Fetch, change: Callable[[Any], Any], said: str
) -> None:
    document = aws_lists.plans_json(aws_lists.plans(aws_lists.catalogue()))
    document["terms"]["savingsPlan"] = change(document["terms"]["savingsPlan"])
    aws.serve(aws_server.plan_path(suffix="json"), json.dumps(document))
    with pytest.raises(SourceError, match=said):
        fetch("json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"products": {"A": ', b"<html>", b"\x1f\x8b\x08\x00broken", b'{"products": {}} x']
)
def test_what_is_no_json_is_refused(aws: Loopback, fetch: Fetch, content: bytes) -> None:
    aws.serve(aws_server.offer_path(suffix="json"), content)
    with pytest.raises(SourceError, match="offer file AmazonEC2 of us-east-1: the list has another shape than known"):
        fetch("json")


CSV = aws_lists.as_csv(aws_lists.ec2_rows(aws_lists.catalogue()), aws_lists.EC2_COLUMNS)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"\xff\xfe" * 50, b"\x1f\x8b\x08\x00broken", CSV + b'"half a row', CSV + b"1,2,3\n", CSV[400:]],
    ids=["empty", "html", "no utf-8", "no gzip", "half a row", "few columns", "no first rows"],
)
def test_what_is_no_such_csv_is_refused(aws: Loopback, fetch: Fetch, content: bytes) -> None:
    aws.serve(aws_server.offer_path(), content)
    with pytest.raises(SourceError, match="offer file AmazonEC2 of us-east-1: the list has another shape than known"):
        fetch()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"ranges": [], "spot_advisor": {}}, "expected the bands"),
        ({"ranges": [{"index": 0, "label": "never"}], "spot_advisor": {}}, "expected the bands"),
        ({"ranges": aws_server.RANGES}, "expected an object as spot_advisor"),
        ({"ranges": aws_server.RANGES, "spot_advisor": {REGION: {}}}, "expected an object as Linux in us-east-1"),
        ({"ranges": aws_server.RANGES, "spot_advisor": {REGION: {"Linux": {"a": {"s": 1}}}}}, "savings 's' and a band 'r'"),
        ([], "expected an object as the document"),
    ],
)
def test_another_shape_of_the_advisor_is_refused(aws: Loopback, fetch: Fetch, document: object, said: str) -> None:
    aws.serve(aws_server.ADVISOR, json.dumps(document))
    with pytest.raises(SourceError, match=said):
        fetch()


@pytest.mark.parametrize(
    ("path", "document", "said"),
    [
        (aws_server.INDEX, {"offers": {}}, "a field 'AmazonEC2'"),
        (
            aws_server.INDEX,
            {"offers": {"AmazonEC2": {"currentSavingsPlanIndexUrl": "https://elsewhere.example/x"}}},
            "a path on https",
        ),
        (aws_server.index_path(), {"regions": []}, "got '\\[\\]', expected an object, by name"),
        (aws_server.index_path(), {"regions": {REGION: {}}}, "a field 'currentVersionUrl'"),
        (aws_server.PLAN_INDEX, {"regions": [{"regionCode": REGION}]}, "a field 'versionUrl'"),
    ],
)
def test_another_shape_of_an_index_is_refused(aws: Loopback, fetch: Fetch, path: str, document: object, said: str) -> None:
    aws.serve(path, json.dumps(document))
    with pytest.raises(SourceError, match=said):
        fetch()


def test_a_region_that_the_list_lacks_is_named_with_near_ones(fetch: Fetch) -> None:
    with pytest.raises(SourceError, match="no region 'us-east-9'") as caught:
        fetch(regions=("us-east-9",))
    assert caught.value.resolve == "ask for us-east-1"
