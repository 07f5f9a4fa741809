"""Two companies whose figures are known: one of our own making, and Northwind where its files are (NORTHWIND_DIR).

Both are in the form of the Northwind files. Amounts are in cents of US dollars, with each line's net rounded half-even.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figures:
    """Of all orders of a company.

    `orders_by_country` counts by the country of the shipping address, as the files name it. `largest_customers` are the
    first three by net, and `orders_of_the_largest` are those of the first. `found`: a text, the customer whose orders
    it finds, and how many at least. `paid` is what arrived, which is the total of each shipped order on the day of its
    shipment; `paid_by_month` has some of the months.
    """

    orders: int
    shipped: int
    lines: int
    quantity: int
    net: int
    freight: int
    largest_customers: Mapping[str, int]
    orders_of_the_largest: int
    countries: int
    orders_by_country: Mapping[str, int]
    months: int
    first_month: str
    last_month: str
    products: int
    largest_product: str
    found: tuple[tuple[str, str, int], ...]
    paid: int
    paid_by_month: Mapping[str, int]


@dataclass(frozen=True)
class Company:
    """A directory with the five files, and what is known of them."""

    name: str
    directory: Path
    figures: Figures


OUR_OWN = Company(
    "ours",
    Path(__file__).parent / "company",
    Figures(
        orders=48, shipped=42, lines=103, quantity=1_200, net=1_549_472, freight=94_048,
        largest_customers={"TULIP": 723_353, "PONTE": 342_945, "JAEGR": 251_829}, orders_of_the_largest=14,
        countries=7, orders_by_country={"USA": 14, "Germany": 14, "Portugal": 8, "Sweden": 5},
        months=5, first_month="2019-11", last_month="2020-03",
        products=12, largest_product="9",
        found=(("jager", "JAEGR", 12), ("ponte azul", "PONTE", 7), ("70006", "TULIP", 1)),
        paid=1_510_031, paid_by_month={"2019-11": 25_121, "2019-12": 352_680, "2020-02": 907_385},
    ),
)  # fmt: skip
NORTHWIND = Company(
    "northwind",
    Path(os.environ.get("NORTHWIND_DIR", "")),
    Figures(
        orders=830, shipped=809, lines=2_155, quantity=51_317, net=126_579_302, freight=6_494_269,
        largest_customers={"QUICK": 11_027_732, "ERNSH": 10_487_499, "SAVEA": 10_436_196}, orders_of_the_largest=28,
        countries=21, orders_by_country={"Germany": 122, "USA": 122, "Brazil": 83, "France": 77},
        months=23, first_month="1996-07", last_month="1998-05",
        products=77, largest_product="38",  # Côte de Blaye
        found=(("konig", "KOENE", 14), ("ernst handel", "ERNSH", 30), ("10248", "VINET", 1)),
        paid=130_381_062, paid_by_month={"1996-07": 2_166_007, "1996-12": 4_883_053, "1997-01": 6_713_895},
    ),
)  # fmt: skip
COMPANIES = (OUR_OWN, NORTHWIND) if os.environ.get("NORTHWIND_DIR") else (OUR_OWN,)
