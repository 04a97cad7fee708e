"""The chips that are known: processing performance, memory bandwidth, launch, successors.

Examples
--------
>>> from overspill.chips import catalogue, chip
>>> chip("H200").tpp, chip("H200").memory_bandwidth_gb_per_s
(15832.0, 4800.0)
>>> chip("H200").successor_chip_id
'B200'
>>> len(catalogue()) > 20
True
"""

from forecasting.reference.chips import Chip, catalogue, chip

__all__ = ["Chip", "catalogue", "chip"]
