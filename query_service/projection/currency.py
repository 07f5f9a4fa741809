"""Converts money into whole minor units, so that stores can add and compare it exactly."""

from __future__ import annotations

#: ISO 4217 currencies, in use and withdrawn, whose minor unit is not a hundredth: code -> decimal places.
_EXPONENTS = {
    code: exponent
    for exponent, codes in {
        0: (
            "ADP BEC BEF BEL BIF BYB BYR CLP DJF ESA ESB ESP GNF GRD ISK ITL JPY KMF KRW LUC LUF LUL MGF PTE PYG ROL"
            " RWF TPE TRL UGX UYI VND VUV XAF XOF XPF"
        ),
        3: "BHD IQD JOD KWD LYD OMR TND YDD",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
#: Parts of a unit that every minor unit is a whole number of.
FINEST_PARTS: int = 10 ** max(_EXPONENTS.values())
#: `nanos` of a `google.type.Money` in one of its units.
NANOS_PER_UNIT = 10**9


def exponent_of(currency_code: str) -> int:
    """Returns the decimal places of the currency's minor unit; 2 for every code that is no exception."""
    return _EXPONENTS.get(currency_code, 2)


def finest_parts(amount: int, currency_code: str) -> int:
    """Returns minor units as ten-thousandths of a unit, by which amounts of any currency are ranked."""
    parts: int = FINEST_PARTS // 10 ** exponent_of(currency_code)
    return amount * parts


def minor_units(units: int, nanos: int, currency_code: str) -> int:
    """Returns the amount in minor units. Raises ValueError if it is finer than the currency or its signs differ."""
    if abs(nanos) >= NANOS_PER_UNIT or units * nanos < 0:
        raise ValueError(f"units {units} with nanos {nanos} is no amount")
    scale: int = 10 ** exponent_of(currency_code)
    minor, rest = divmod(nanos * scale, NANOS_PER_UNIT)
    if rest:
        raise ValueError(f"nanos {nanos} is finer than {currency_code} allows")
    return units * scale + minor


def units_and_nanos(amount: int, currency_code: str) -> tuple[int, int]:
    """Returns the amount as whole units and billionths, both with its sign."""
    scale: int = 10 ** exponent_of(currency_code)
    units, minor = divmod(abs(amount), scale)
    sign = -1 if amount < 0 else 1
    return sign * units, sign * minor * (NANOS_PER_UNIT // scale)
