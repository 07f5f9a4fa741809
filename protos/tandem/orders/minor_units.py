"""Converts amounts of ISO 4217 currencies between the wire's form and whole numbers of the minor unit.

On the wire an amount is a `google.type.Money`: `units` (whole currency units) and `nanos` (10⁻⁹ units), of equal sign.
This module is pure: it imports the standard library only, so that the domain and the projection may use it.

New orders are in a currency in use; imported orders may be in a withdrawn one. A currency that is withdrawn moves from
one table to the other and is never removed, because stored orders are read by their currency's decimal places.
Metals and units of account that have no minor unit (`XAU`, `XFO`, …) are left out, because nobody pays in them.
"""

from __future__ import annotations

from collections.abc import Mapping

_IN_USE: Mapping[int, str] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF"
        " CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG"
        " HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR"
        " MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD"
        " SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG"
        " YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

#: List three of ISO 4217. Where it gives no minor unit, two decimal places, which fit whole amounts as well.
_WITHDRAWN: Mapping[int, str] = {
    0: "ADP BEC BEF BEL BYB BYR ESA ESB ESP GRD ITL LUC LUF LUL MGF PTE ROL TPE TRL",
    2: (
        "AFA ALK ANG AOK AON AOR ARA ARP ARY ATS AYM AZM BAD BGJ BGK BGL BOP BRB BRC BRE BRN BRR BUK CHC CSD CSJ CSK"
        " CUC CYP DDM DEM ECS ECV EEK FIM FRF GEK GHC GHP GNE GNS GQE GWE GWP HRD HRK IEP ILP ILR ISJ LAJ LSM LTL LTT"
        " LVL LVR MLF MRO MTL MTP MVQ MXP MZE MZM NIC NLG PEH PEI PES PLZ RHD ROK RUR SDD SDP SIT SKK SLL SRG STD SUR"
        " TJR TMM UAK UGS UGW USS UYN UYP VEB VEF VNC XEU YUD YUM YUN ZAL ZMK ZRN ZRZ ZWC ZWD ZWL ZWN ZWR"
    ),
    3: "YDD",
}


def _exponents(table: Mapping[int, str]) -> Mapping[str, int]:
    return {code: exponent for exponent, codes in table.items() for code in codes.split()}


#: Currency code -> decimal places of its minor unit, for every currency that an order can be in.
EXPONENTS: Mapping[str, int] = {**_exponents(_WITHDRAWN), **_exponents(_IN_USE)}
#: Currencies that only imported orders can be in.
WITHDRAWN_CURRENCIES: frozenset[str] = frozenset(_exponents(_WITHDRAWN))

NANOS_DIGITS = 9
NANOS_PER_UNIT: int = 10**NANOS_DIGITS


class FinerThanCurrency(ValueError):  # noqa: N818 - reads as what it is
    """The amount has more decimal places than the currency's minor unit."""


def from_units(units: int, nanos: int, places: int) -> int:
    """Returns an amount in minor units of a currency with `places` decimal places; raises FinerThanCurrency.

    `units` and `nanos` have the same sign or one is zero.
    """
    scale: int = 10**places
    minor, rest = divmod(nanos * scale, NANOS_PER_UNIT)
    if rest:
        raise FinerThanCurrency(f"{nanos} nanos are finer than {places} decimal places")
    return units * scale + minor


def to_units(amount: int, places: int) -> tuple[int, int]:
    """Returns an amount in minor units as `(units, nanos)`. Both have the sign of the amount."""
    scale: int = 10**places
    units, minor = divmod(abs(amount), scale)
    sign = -1 if amount < 0 else 1
    return sign * units, sign * minor * (NANOS_PER_UNIT // scale)
