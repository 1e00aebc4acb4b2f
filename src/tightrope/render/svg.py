"""Vega-Lite → inline SVG, without a network and without a browser."""

import re

from tightrope.render.chart import Spec
from tightrope.render.html import Html, raw

VEGA_LITE = "5.20"
"""The version of the specifications, so that a newer drawing part draws the same."""


def draw_chart(spec: Spec) -> Html:
    """Return the chart as an SVG element that scales with its place; user texts in it are escaped by the drawing part."""
    import vl_convert  # starts a JavaScript engine: only who draws pays for it

    svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return raw(
        re.sub(
            r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>",
            r'<svg xmlns="http://www.w3.org/2000/svg" \1 aria-hidden="true">',
            svg,
            count=1,
        )
    )
