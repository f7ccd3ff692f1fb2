"""The library that web handlers call: requests and critical messages to the hosts of the network, user records."""

from lonnet.client import Lonnet
from lonnet.replies import Delivery

__all__ = ["Delivery", "Lonnet"]
