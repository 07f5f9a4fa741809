"""Refuses `OrderExportService`, which is in the contract and not served yet."""

from __future__ import annotations

from collections.abc import Mapping

from tandem.orders.v1 import order_export_service_pb2 as contract

from service_runtime.edge.service_methods import Behaviour

SERVICE = contract.DESCRIPTOR.services_by_name["OrderExportService"]


def behaviours() -> Mapping[str, Behaviour]:
    """Method name → behaviour, for each export that is served."""
    return {}
